# SPDX-License-Identifier: GPL-2.0
"""The kernel tree's own tools/testing/selftests/vfio, as programs for a guest.

They are built as the kernel builds them, from the test kernel's source, only
linked statically. 7.3 is the first series that has a driver for a device of
QEMU's in them (igb).
"""

import shutil

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.errors import LabError

FOLDER = "tools/testing/selftests/vfio"
TIMEOUT = 600


def programs(kernel, cache=None):
    """(name, path) of every program; built if they are not in the cache."""
    cache = cache or lab.Cache()
    folder = cache.entry("vfio-selftests", f"{kernel.release}-{kernel.key}")
    with cache.lock(f"vfio-selftests-{folder.name}"):
        if not lab.is_complete(folder):
            shutil.rmtree(folder, ignore_errors=True)
            _build(kernel, folder)
            lab.set_complete(folder, kernel.release)
        cache.used(folder)
    return tuple((f"vfio-selftests/{path.name}", path)
                 for path in sorted((folder / "out").glob("*_test")))


def _build(kernel, folder):
    headers, out = folder / "headers", folder / "out"
    out.mkdir(parents=True)
    progress.run("build", f"user headers of {kernel.release}",
                 ["make", "-C", str(kernel.source), f"O={headers}", "ARCH=x86",
                  f"-j{lab.jobs()}", "headers"],
                 folder / "headers.log", timeout=TIMEOUT)
    progress.run("build", f"the kernel's VFIO selftests of {kernel.release}",
                 ["make", "-C", str(kernel.source / FOLDER), f"OUTPUT={out}",
                  f"KHDR_INCLUDES=-isystem {headers}/usr/include",
                  "EXTRA_CFLAGS=-O2 -static", f"-j{lab.jobs()}"],
                 folder / "build.log", timeout=TIMEOUT)
    if not list(out.glob("*_test")):
        raise LabError(f"{FOLDER} of {kernel.release} built, but made no program; "
                       f"see {folder}/build.log.")
    shutil.rmtree(headers)
