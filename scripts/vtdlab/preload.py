# SPDX-License-Identifier: GPL-2.0
"""The shared object that gives QEMU more than one remapping unit; Documentation/qemu-units.rst.

It is loaded into the QEMU of the build root with LD_PRELOAD, and uses nothing but what that
QEMU exports.
"""

import shutil

from vtdlab import cache as lab
from vtdlab import progress

BUILD_TIMEOUT = 120
# The device type of a further unit.
DEVICE = "vtd-unit"
# The exit status of QEMU if the object does not fit it; selftests/qemu/layout.h agrees.
UNFIT = 77
# Its names are hidden, so that none of them replaces one of QEMU's or of a library's.
COMPILE = ("gcc", "-shared", "-fPIC", "-fvisibility=hidden", "-O2", "-Wall", "-Wextra",
           "-Wno-unused-parameter", "-Werror")


def sources(folder=None):
    """Returns the object's source files, headers included."""
    folder = folder or lab.checkout() / "selftests/qemu"
    return sorted(path for path in folder.iterdir() if path.suffix in (".c", ".h"))


def build(files, target, *flags):
    """Compiles these files to the object `target`, which it returns."""
    progress.run("build", "the object with QEMU's further units",
                 [*COMPILE, *flags, "-o", str(target),
                  *(str(path) for path in files if path.suffix == ".c")],
                 target.with_name("build.log"), timeout=BUILD_TIMEOUT)
    return target


def get(cache=None):
    """Returns the path of the object, built if it is not in the cache."""
    cache = cache or lab.Cache()
    files = sources()
    key = lab.key(*COMPILE, *(part for path in files for part in (path.name, path.read_bytes())))
    folder = cache.entry("preload", key)
    built = folder / "vtd-units.so"
    with cache.lock(f"preload-{key}"):
        if not lab.is_complete(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            build(files, built)
            lab.set_complete(folder, key)
        cache.used(folder)
    return built


def command(built, argv):
    """Returns the command line that runs QEMU with the object."""
    return ["env", f"LD_PRELOAD={built}", *argv]
