# SPDX-License-Identifier: GPL-2.0
"""The kernel tree's own tools/testing/selftests/vfio, as programs for a guest.

They are built as the kernel builds them, from the test kernel's source, but linked
statically, and with more time for each test: their harness ends a test after 30 s, which
depends on the machine and not on the driver if QEMU has no KVM and other work runs at the
same time. 7.3 is the first series whose tests have a driver for a device of QEMU's (igb).
"""

import shutil

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.errors import LabError

FOLDER = "tools/testing/selftests/vfio"
TIMEOUT = 600
HARNESS = "tools/testing/selftests/kselftest_harness.h"
# The place where the harness waits for a test, and the factor by which it waits longer here. It has
# no option for that. selftests/vfio-selftests.sh ends a program that takes longer still.
WAIT = "poll(&poll_child, 1, t->timeout * 1000)"
LONGER = 10


def programs(kernel, cache=None):
    """Returns (name, path) of every program; built if they are not in the cache."""
    cache = cache or lab.Cache()
    folder = cache.entry("vfio-selftests",
                         f"{kernel.release}-{lab.key(kernel.key, WAIT, LONGER)}")
    with cache.lock(f"vfio-selftests-{folder.name}"):
        if not lab.is_complete(folder):
            shutil.rmtree(folder, ignore_errors=True)
            _build(kernel, folder)
            lab.set_complete(folder, kernel.release)
        cache.used(folder)
    return tuple((f"vfio-selftests/{path.name}", path)
                 for path in sorted((folder / "out").glob("*_test")))


def patient(harness):
    """Returns the text of the harness, with more time for each test."""
    if harness.count(WAIT) != 1:
        raise LabError(f"{HARNESS} of this kernel does not wait by {WAIT}; look how it does, and "
                       "correct scripts/vtdlab/build/vfio_selftests.py.")
    return harness.replace(WAIT, WAIT.replace("1000", f"1000 * {LONGER}"))


def _build(kernel, folder):
    headers, out, ours = folder / "headers", folder / "out", folder / "harness"
    out.mkdir(parents=True)
    ours.mkdir()
    # For "kselftest_harness.h" this folder is searched before those of -I.
    source = (kernel.source / HARNESS).read_text(encoding="utf-8")
    (ours / "kselftest_harness.h").write_text(patient(source), encoding="utf-8")
    progress.run("build", f"user headers of {kernel.release}",
                 ["make", "-C", str(kernel.source), f"O={headers}", "ARCH=x86",
                  f"-j{lab.jobs()}", "headers"],
                 folder / "headers.log", timeout=TIMEOUT)
    progress.run("build", f"the kernel's VFIO selftests of {kernel.release}",
                 ["make", "-C", str(kernel.source / FOLDER), f"OUTPUT={out}",
                  f"KHDR_INCLUDES=-isystem {headers}/usr/include",
                  f"EXTRA_CFLAGS=-O2 -static -iquote {ours}", f"-j{lab.jobs()}"],
                 folder / "build.log", timeout=TIMEOUT)
    if not list(out.glob("*_test")):
        raise LabError(f"{FOLDER} of {kernel.release} built, but made no program; "
                       f"see {folder}/build.log.")
    shutil.rmtree(headers)
