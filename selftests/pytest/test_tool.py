# SPDX-License-Identifier: GPL-2.0
"""The program vtd against the lab's own decoders, and its static build and installation.

Its own tests are in tools/vtd/tests; cargo.py runs them.
"""

import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

import test_faultline
from vtdlab import cache as lab
from vtdlab.build import tool
from vtdlab.evidence import dump, faultline

TREES = lab.checkout() / "tools/vtd/tests/trees"
TIMEOUT = 600
LINES = [getattr(test_faultline, name) for name in (
    "OURS", "FAILED", "UNKNOWN", "SHARED", "IN_TREE", "SHORT", "DECIMAL", "NO_PASID", "PASID",
    "INTERRUPT", "OLD_INTERRUPT", "FORGED", "COMPATIBLE")]


def _cargo(command, *more):
    """Runs cargo; returns its status and what it said."""
    folder = lab.Cache().cargo_target("cargo-target")
    argv = ["cargo", command, "--quiet", "--locked", "--manifest-path",
            str(lab.checkout() / tool.MANIFEST), *more]
    done = subprocess.run(argv, check=False, timeout=TIMEOUT, capture_output=True, text=True,
                          env=dict(os.environ, CARGO_TARGET_DIR=str(folder)))
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module", name="program")
def _program():
    return tool.build()


def test_clippy():
    """The program is no part of the module, so that the module's clippy does not see it."""
    status, text = _cargo("clippy", "--all-targets", "--", "-D", "warnings")
    assert status == 0 and not text, text


def _json(program, *args, status=0):
    done = subprocess.run([program, "--json", *map(str, args)], capture_output=True, text=True,
                          timeout=TIMEOUT, check=False)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def _lines(program, tmp_path, lines):
    log = tmp_path / "log"
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = _json(program, "faults", log)["lines"]
    assert len(found) == len(lines)
    return found


def test_fault_lines_have_the_same_words(program, tmp_path):
    """For each form of line; the lab's words are written apart from the driver's."""
    for line, found in zip(LINES, _lines(program, tmp_path, LINES)):
        fault = faultline.decode(line)
        assert found["words"] == str(fault) and found["cause"] == fault.cause
        assert found["device"] == fault.bdf and found["reason"] == fault.reason


def test_a_line_is_the_same_in_each_log(program, tmp_path):
    """In dmesg, as a record of /dev/kmsg, and in the journal."""
    log = tmp_path / "log"
    lines = (test_faultline.OURS, test_faultline.RECORD, test_faultline.JOURNAL)
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (found,) = _json(program, "faults", log)["lines"]
    assert found["count"] == len(lines) and found["words"] == str(faultline.decode(lines[0]))


def test_every_reason_has_the_same_words(program, tmp_path):
    """Known and unknown ones, and their usual causes."""
    lines = [f"DMAR: [DMA Read NO_PASID] Request device [00:05.0] fault addr 0x1000 "
             f"[fault reason {code:#04x}] x" for code in range(256)]
    differ = [(found["words"], str(faultline.decode(line)))
              for line, found in zip(lines, _lines(program, tmp_path, lines))
              if found["words"] != str(faultline.decode(line))]
    assert not differ
    # The program knows more codes of wrong tables: all those of the driver.
    causes = {code: (found["cause"], faultline.CAUSES[code])
              for code, found in enumerate(_lines(program, tmp_path, lines))
              if code in faultline.CAUSES}
    assert len(causes) > 20
    assert not {code: pair for code, pair in causes.items() if pair[0] != pair[1]}


@pytest.mark.parametrize("driver", ["vtd", "in-tree"])
def test_both_read_a_dump_alike(program, tmp_path, driver):
    """What `vtd save` writes, vtd and the lab read alike."""
    with tarfile.open(TREES / f"{driver}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="tar")
    path = tmp_path / "dump.tar.gz"
    _json(program, "--root", tmp_path / "tree", "save", path)
    saved = dump.Saved(path)
    assert saved.driver == driver and len(saved.devices) > 20
    for bdf, device in saved.devices.items():
        found = _json(program, "--dump", path, "why", bdf)
        assert {name: found[name] for name in device} == device
        assert (found["faults"] is None) == (driver == "in-tree")
        others = [other for other in saved.devices.values() if other["group"] == device["group"]]
        assert len(found["group_devices"]) == len(others)


def test_the_program_is_static_and_is_removed_without_a_trace(tmp_path):
    """Nothing has to be there where it runs; uninstalling removes every file."""
    out = tool.publish(tool.build())
    headers = subprocess.run(["readelf", "-lW", out / "vtd"], check=True, capture_output=True,
                             text=True, timeout=TIMEOUT).stdout
    assert "LOAD" in headers and "INTERP" not in headers
    assert (out / "vtd").stat().st_size < 4 << 20
    empty = tmp_path / "empty"
    empty.mkdir()
    done = subprocess.run([out / "vtd", "--root", empty, "doctor"], env={}, capture_output=True,
                          text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 1 and "no remapping unit" in " ".join(done.stdout.split())
    script = lab.checkout() / "scripts/install-tool"
    system = tmp_path / "system"
    env = {"PATH": os.environ["PATH"], "DESTDIR": str(system)}
    subprocess.run([script], check=True, env=env, timeout=TIMEOUT, capture_output=True)
    placed = {str(path.relative_to(system)) for path in system.rglob("*") if path.is_file()}
    assert {"usr/local/bin/vtd", "usr/local/share/man/man1/vtd.1",
            "usr/local/share/man/man1/vtd-why.1",
            "usr/local/share/bash-completion/completions/vtd"} <= placed
    subprocess.run([script, "uninstall"], check=True, env=env, timeout=TIMEOUT)
    assert not [path for path in system.rglob("*") if path.is_file()]


def test_nothing_to_install_is_a_sentence(tmp_path):
    """Without the program, the script names the command that builds it."""
    copy = tmp_path / "scripts"
    copy.mkdir()
    script = copy / "install-tool"
    script.write_bytes((lab.checkout() / "scripts/install-tool").read_bytes())
    for argv, status, words in ((("bash", script), 1, "make tool builds it"),
                                (("bash", script, "frob"), 2, "usage: "),
                                (("bash", script, "--help"), 0, "usage: ")):
        done = subprocess.run(argv, env={"PATH": os.environ["PATH"], "DESTDIR": str(tmp_path)},
                              capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert done.returncode == status and words in done.stdout + done.stderr
    assert not Path(tmp_path / "usr").exists()
