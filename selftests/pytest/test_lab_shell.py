# SPDX-License-Identifier: GPL-2.0
"""The shell that stands before the build root: sentences, and what is never removed."""

import os
import shutil
import subprocess
import sys

import pytest

from vtdlab.cache import checkout

SCRIPTS = checkout() / "scripts"


def run(argv, **env):
    """Status and both outputs as one text."""
    base = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **env}
    done = subprocess.run([str(a) for a in argv], check=False, env=base, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


@pytest.fixture(name="kdir")
def fixture_kdir(tmp_path):
    """A folder that looks like a kernel build which the module can use."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("rustc", "rustc 1.85.1"), ("bindgen", "bindgen 0.71")):
        (tools / name).write_text(f"#!/bin/sh\necho '{text}'\n")
        (tools / name).chmod(0o755)
    kdir = tmp_path / "kdir"
    (kdir / "include/config").mkdir(parents=True)
    (kdir / "rust").mkdir()
    (kdir / "Makefile").touch()
    (kdir / "rust/libkernel.rmeta").touch()
    (kdir / "include/config/kernel.release").write_text("7.3.4\n")
    (kdir / ".config").write_text(
        "CONFIG_RUST=y\nCONFIG_MODULES=y\nCONFIG_PCI_MSI=y\nCONFIG_ACPI=y\nCONFIG_IOMMU_API=y\n"
        'CONFIG_RUSTC_VERSION_TEXT="rustc 1.85.1"\n')
    return kdir


def look(kdir):
    return run([SCRIPTS / "kdir", kdir], PATH=f"{kdir.parent}/bin:{os.environ['PATH']}")


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_kdir_takes_a_whole_build(kdir):
    assert look(kdir) == (0, "")


def test_kdir_names_the_compiler_that_built_the_kernel_if_it_is_here(kdir):
    (kdir / ".config").write_text((kdir / ".config").read_text() +
                                  'CONFIG_CC_VERSION_TEXT="far-gcc-14 (Debian 14.2.0) 14.2.0"\n')
    assert look(kdir) == (0, "")
    shutil.copy(kdir.parent / "bin/rustc", kdir.parent / "bin/far-gcc-14")
    assert look(kdir) == (0, "CC=far-gcc-14\n")


@pytest.mark.parametrize("spoil, sentence", [
    (lambda k: (k / ".config").unlink(), "holds no .config"),
    (lambda k: (k / "Makefile").unlink(), "holds no Makefile"),
    (lambda k: (k / "include/config/kernel.release").unlink(), "not prepared"),
    (lambda k: change(k / "include/config/kernel.release", "7.3.4", "6.12.5"), "needs 7.2"),
    (lambda k: change(k / ".config", "CONFIG_RUST=y", "# CONFIG_RUST is not set"),
     "without Rust"),
    (lambda k: change(k / ".config", "CONFIG_ACPI=y\n", ""), "without CONFIG_ACPI"),
    (lambda k: change(k / ".config", "rustc 1.85.1", "rustc 1.90.0"), "'rustc 1.90.0', and"),
    (lambda k: (k / "rust/libkernel.rmeta").unlink(), "lacks the Rust metadata"),
])
def test_kdir_names_what_is_missing(kdir, spoil, sentence):
    spoil(kdir)
    status, text = look(kdir)
    assert status == 1
    assert sentence in text
    assert len(text.splitlines()) == 1, "more than one sentence"


def copy_scripts(tmp_path):
    """A checkout with scripts only, so that distclean cannot reach the real one."""
    top = tmp_path / "checkout"
    (top / "scripts").mkdir(parents=True)
    for name in ("lib.sh", "distclean"):
        (top / "scripts" / name).write_bytes((SCRIPTS / name).read_bytes())
        (top / "scripts" / name).chmod(0o755)
    return top


def test_distclean_removes_only_a_folder_with_the_mark(tmp_path):
    top = copy_scripts(tmp_path)
    (top / "out").mkdir()
    cache = tmp_path / "cache"
    (cache / "lock").mkdir(parents=True)
    (cache / "precious").touch()
    status, text = run([top / "scripts/distclean"], VTD_CACHE=str(cache))
    assert status == 1 and "mark" in text
    assert (cache / "precious").exists()
    (cache / ".vtd-cache").touch()
    status, text = run([top / "scripts/distclean"], VTD_CACHE=str(cache))
    assert status == 0, text
    assert not cache.exists() and not (top / "out").exists()


def test_distclean_leaves_a_cache_in_use_alone(tmp_path):
    top = copy_scripts(tmp_path)
    cache = tmp_path / "cache"
    (cache / "lock").mkdir(parents=True)
    (cache / ".vtd-cache").touch()
    with subprocess.Popen(["flock", "-s", cache / "lock/use", sys.executable, "-c",
                           "print('held', flush=True); input()"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdout.readline() == b"held\n"
        status, text = run([top / "scripts/distclean"], VTD_CACHE=str(cache))
        user.communicate(b"\n", timeout=20)
    assert status == 1 and "is using" in text
    assert cache.exists()


def test_an_occupied_folder_is_never_taken_as_cache(tmp_path):
    top = copy_scripts(tmp_path)
    occupied = tmp_path / "documents"
    occupied.mkdir()
    (occupied / "thesis").touch()
    status, text = run(["bash", "-c", f". {top}/scripts/lib.sh; open_cache"],
                       VTD_CACHE=str(occupied))
    assert status == 1 and "not vtd's" in text
    assert os.listdir(occupied) == ["thesis"]


def test_a_step_that_fails_shows_its_log_and_ends_the_script(tmp_path):
    script = (f". {SCRIPTS}/lib.sh; step kind text {tmp_path}/log sh -c 'echo last words; exit 7';"
              " echo went on")
    status, text = run(["bash", "-c", script])
    assert status == 1
    assert "last words" in text and "status 7" in text and "went on" not in text
