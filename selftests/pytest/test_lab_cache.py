# SPDX-License-Identifier: GPL-2.0
"""The cache folder: keys, locks, completion."""

import concurrent.futures
import multiprocessing
import os
import signal
import time

import pytest

from vtdlab import cache as lab
from vtdlab.errors import LabError


def test_key_changes_with_every_part_and_with_their_boundaries():
    keys = {lab.key("ab", "c"), lab.key("a", "bc"), lab.key("abc"), lab.key("ab", "d"),
            lab.key("ab", "c", "")}
    assert len(keys) == 5
    assert lab.key("ab", "c") == lab.key(b"ab", "c")


def test_default_path_prefers_vtd_cache_then_xdg_then_home():
    env = {"VTD_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}
    assert str(lab.default_path(env)) == "/a"
    del env["VTD_CACHE"]
    assert str(lab.default_path(env)) == "/b/vtd"
    env["XDG_CACHE_HOME"] = ""
    assert str(lab.default_path(env)) == "/c/.cache/vtd"


def test_entry_is_complete_only_after_the_mark(tmp_path):
    folder = tmp_path / "entry"
    folder.mkdir()
    (folder / "half").touch()
    assert not lab.is_complete(folder)
    lab.set_complete(folder, "text")
    assert lab.is_complete(folder)


def test_several_threads_mark_one_entry(tmp_path):
    """Guests are prepared by several threads, and each may find the program vtd built."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(lab.set_complete, tmp_path, "text") for _ in range(400)]:
            done.result()
    assert [path.name for path in tmp_path.iterdir()] == [lab.COMPLETE]


def test_only_old_unused_entries_beyond_the_kept_go(tmp_path):
    cache = lab.Cache(tmp_path)
    now = time.time()
    for name, hours in (("new", 0), ("old", 5), ("older", 6), ("oldest", 7)):
        folder = cache.entry("kind", name)
        folder.mkdir(parents=True)
        lab.set_complete(folder)
        os.utime(folder / lab.COMPLETE, (now - 3600 * hours,) * 2)
    unfinished = cache.entry("kind", "unfinished")
    unfinished.mkdir()
    cache.used(cache.entry("kind", "oldest"), keep=2)
    assert sorted(p.name for p in (tmp_path / "kind").iterdir()) == ["new", "oldest", "unfinished"]


def test_unwritable_cache_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match="VTD_CACHE"):
        lab.Cache(tmp_path / "file")


def _hold(path, events):
    with lab.Cache(path).lock("thing"):
        events.put("held")
        time.sleep(60)


def test_lock_excludes_and_dies_with_its_process(tmp_path, capfd):
    events = multiprocessing.Queue()
    child = multiprocessing.Process(target=_hold, args=(tmp_path, events))
    child.start()
    assert events.get(timeout=20) == "held"
    cache = lab.Cache(tmp_path)
    start = time.monotonic()
    killer = multiprocessing.Process(target=_kill_later, args=(child.pid, 1.0))
    killer.start()
    with cache.lock("thing"):
        waited = time.monotonic() - start
    assert waited >= 0.5, "the lock was taken while another process held it"
    assert "thing is already being built" in capfd.readouterr().out
    killer.join(20)
    child.join(20)


def _kill_later(pid, seconds):
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
