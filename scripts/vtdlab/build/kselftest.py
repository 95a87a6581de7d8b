# SPDX-License-Identifier: GPL-2.0
"""selftests/ as a target of the kernel's own kselftest, packed by its gen_tar.

The tree is the test kernel's tools/testing/selftests with ours instead of all other
targets, so that the kernel's own tools build, install and pack it. The guest gets what
is in the package.
"""

import shutil
import tarfile

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.build import kernel as kernels
from vtdlab.errors import LabError

HARNESS = "tools/testing/selftests"
TARGET = "vtd"
TIMEOUT = 600
# The files of a target; build products next to them are left out.
SOURCES = (".sh", ".c", ".h")
OTHERS = ("Makefile", "Kbuild", "config", "settings")


def programs(kernel, cache=None):
    """Returns (name, path) of every file of the package; built if it is not in the cache."""
    cache = cache or lab.Cache()
    files = _ours()
    key = lab.key(kernel.key, *(part for name, path in files for part in (name, path.read_bytes())))
    folder = cache.entry("kselftest", f"{kernel.release}-{key}")
    with cache.lock(f"kselftest-{folder.name}"):
        if not lab.is_complete(folder):
            shutil.rmtree(folder, ignore_errors=True)
            _build(kernel, folder)
            lab.set_complete(folder, kernel.release)
        cache.used(folder)
    out = folder / "out"
    return tuple((f"kselftest/{path.relative_to(out)}", path)
                 for path in sorted(out.rglob("*")) if path.is_file())


def _ours():
    top = lab.checkout() / "selftests"
    return [(str(path.relative_to(top)), path) for path in sorted(top.rglob("*"))
            if path.suffix in SOURCES or path.name in OTHERS]


def _lay_out(kernel, tree):
    """Makes a kernel tree with the harness and one target."""
    harness = tree / HARNESS
    harness.mkdir(parents=True)
    (tree / "scripts").mkdir()
    shutil.copy(kernel.source / "scripts/subarch.include", tree / "scripts")
    for path in (kernel.source / HARNESS).iterdir():
        if path.is_file():
            shutil.copy(path, harness)
    shutil.copytree(kernel.source / HARNESS / "kselftest", harness / "kselftest")
    for name, path in _ours():
        target = harness / TARGET / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return harness


def _build(kernel, folder):
    harness = _lay_out(kernel, folder / "tree")
    install = folder / "install"
    progress.run("build", f"selftests as a target of kselftest, for {kernel.release}",
                 ["make", "-C", str(harness), f"TARGETS={TARGET}", f"KDIR={kernel.kdir}",
                  f"KSFT_INSTALL_PATH={install}", f"LLVM={kernels.LLVM}", "FORCE_TARGETS=1",
                  "USERCFLAGS=-O2", "USERLDFLAGS=-static", f"-j{lab.jobs()}", "gen_tar"],
                 folder / "build.log", timeout=TIMEOUT)
    package = install / "kselftest-packages/kselftest.tar.gz"
    if not package.exists():
        raise LabError(f"gen_tar of the kernel's kselftest left no {package}; "
                       f"see {folder}/build.log.")
    with tarfile.open(package) as tar:
        tar.extractall(folder / "out", filter="tar")
    shutil.rmtree(folder / "tree")
    shutil.rmtree(install)
