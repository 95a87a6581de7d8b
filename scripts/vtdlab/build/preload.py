# SPDX-License-Identifier: GPL-2.0
"""The shared object that adds units and a requester to QEMU; Documentation/qemu-units.rst.

It is loaded into the QEMU of the build root with LD_PRELOAD, and uses nothing but what that
QEMU exports.
"""

import shutil

from vtdlab import cache as lab
from vtdlab import progress

BUILD_TIMEOUT = 120
# The device types that it adds: a further unit, and a scripted endpoint.
DEVICE, REQUESTER = "vtd-unit", "vtd-requester"
# The properties that it adds to intel-iommu.
PROPERTIES = ("cap-added", "cap-removed", "ecap-added", "ecap-removed", "queue", "queue-delay",
              "queue-error", "ite-time", "ite-source")
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
    progress.run("build", "the object with QEMU's further devices",
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


def is_needed(argv):
    """Returns whether a command line of QEMU has anything that the object adds."""
    for first, *options in (word.split(",") for word in argv):
        if first in (DEVICE, REQUESTER):
            return True
        if first == "intel-iommu" and {word.split("=")[0] for word in options} & {*PROPERTIES}:
            return True
    return False


def command(built, argv):
    """Returns the command line that runs QEMU with the object."""
    return ["env", f"LD_PRELOAD={built}", *argv]
