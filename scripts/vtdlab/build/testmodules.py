# SPDX-License-Identifier: GPL-2.0
"""The C parts of the tests: modules for a kernel, and programs."""

import shutil
import subprocess

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.errors import LabError

BUILD_TIMEOUT = 600
# The prefix of the functions in selftests/modules/inject_calls.c that replace the kernel's.
STAND_IN = "vtd_inject_calls_"


def get(kernel, cache=None):
    """Returns the .ko files for a kernel, built if they are not in the cache."""
    cache = cache or lab.Cache()
    source = lab.checkout() / "selftests/modules"
    files = sorted(path for path in source.iterdir()
                   if path.name == "Kbuild" or path.suffix in (".c", ".h"))
    key = lab.key(kernel.key, *(part for path in files for part in (path.name, path.read_bytes())))
    folder = cache.entry("testmodules", f"{kernel.release}-{key}")
    with cache.lock(f"testmodules-{folder.name}"):
        if not lab.is_complete(folder):
            _build(kernel, files, folder)
            lab.set_complete(folder, key)
        cache.used(folder)
    return tuple(sorted(folder.glob("*.ko")))


def _build(kernel, files, folder):
    # A copy is built, so that the build leaves nothing in the checkout.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in files:
        shutil.copy(path, folder)
    progress.run("build", f"test modules for {kernel.release}",
                 ["make", "-C", str(kernel.kdir), f"M={folder}", *kernel.tools,
                  f"-j{lab.jobs()}", "W=1", "KCFLAGS=-Werror", "modules"],
                 folder / "build.log", timeout=BUILD_TIMEOUT)
    if not list(folder.glob("*.ko")):
        raise LabError(f"The test modules built, but {folder} holds no .ko; see build.log there.")


def _symbols(path, *flags):
    """Returns names of symbols, as nm selects them."""
    done = subprocess.run(["nm", "--format=posix", *flags, str(path)], check=True,
                          capture_output=True, text=True, timeout=BUILD_TIMEOUT)
    return {line.split()[0] for line in done.stdout.splitlines()}


def imports(path):
    """Returns the names of what a module takes from the kernel and from other modules."""
    return _symbols(path, "--undefined-only")


def stand_ins(modules):
    """Returns the kernel's functions that vtd_inject_calls replaces."""
    module = next(path for path in modules if path.name == "vtd_inject_calls.ko")
    return {name.removeprefix(STAND_IN) for name in _symbols(module, "--extern-only",
                                                            "--defined-only")
            if name.startswith(STAND_IN)}


def relinked(vtd, modules, cache):
    """Makes a copy of vtd.ko that calls vtd_inject_calls; the guest gets both modules."""
    names = sorted(stand_ins(modules) & imports(vtd))
    folder = cache.entry("relinked", lab.key(vtd.read_bytes(), *names))
    with cache.lock(f"relinked-{folder.name}"):
        if not lab.is_complete(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            subprocess.run(["objcopy", *(f"--redefine-sym={name}={STAND_IN}{name}" for name in names),
                            str(vtd), str(folder / "vtd_relinked.ko")],
                           check=True, timeout=BUILD_TIMEOUT)
            lab.set_complete(folder)
        cache.used(folder)
    return folder / "vtd_relinked.ko"


def programs(cache=None):
    """Returns the tests' own programs, linked statically, as (name, path) pairs."""
    cache = cache or lab.Cache()
    found = []
    tests = lab.checkout() / "selftests/user"
    headers = [path.read_bytes() for path in sorted(tests.glob("*.h"))]
    for source in sorted(tests.glob("*.c")):
        key = lab.key(source.read_bytes(), *headers)
        folder = cache.entry("testprograms", f"{source.stem}-{key}")
        program = folder / source.stem
        with cache.lock(f"testprograms-{folder.name}"):
            if not lab.is_complete(folder):
                folder.mkdir(parents=True, exist_ok=True)
                progress.run("build", f"test program {source.stem}",
                             ["gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror",
                              "-o", str(program), str(source)],
                             folder / "build.log", timeout=BUILD_TIMEOUT)
                lab.set_complete(folder, source.stem)
        found.append((f"user/{source.stem}", program))
    return tuple(found)
