# SPDX-License-Identifier: GPL-2.0
"""A machine with Secure Boot: OVMF with Microsoft's keys, and Debian's shim, which QEMU starts before
the kernel. What a user confirms once in front of the machine (a key of one's own, MOK) is written
into the firmware's variables."""

import shutil
from pathlib import Path

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.archive import Archive
from vtdlab.errors import LabError

FIRMWARE = Path("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd")
VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.ms.fd")
SHIM = "shim-signed"
# The owner of the key; no part compares it.
OWNER = "5e0f0b9a-3f6c-4d43-9d5a-6a2f7c1f9f01"
TIMEOUT = 120


def shim():
    """Returns the shim that Microsoft has signed for Debian, fetched once."""
    cache = lab.Cache()
    archive = Archive(cache)
    archive.refresh()
    version = archive.newest_package(SHIM)
    folder = cache.entry("shim", version.replace("~", "-"))
    with cache.lock("shim"):
        if not lab.is_complete(folder):
            shutil.rmtree(folder, ignore_errors=True)
            archive.unpack([SHIM], version, folder, f"{SHIM} {version}")
            lab.set_complete(folder, version)
    path = folder / "usr/lib/shim/shimx64.efi.signed"
    if not path.is_file():
        raise LabError(f"The package {SHIM} {version} has no usr/lib/shim/shimx64.efi.signed; "
                       "its layout has changed, and scripts/vtdlab/secureboot.py must follow.")
    return path


def variables(folder, certificate):
    """Returns the firmware's variables, with that certificate enrolled if it is one."""
    target = folder / "variables.fd"
    more = ["--add-mok", OWNER, str(certificate)] if certificate else []
    progress.run("firmware", f"with {'a key' if certificate else 'no key'} of its owner",
                 ["virt-fw-vars", "--input", str(VARIABLES), "--output", str(target), *more],
                 folder / "variables.log", timeout=TIMEOUT)
    return target


def arguments(folder, certificate):
    """Returns QEMU's arguments for it."""
    return ("-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on",
            "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={FIRMWARE}",
            "-drive", f"if=pflash,format=raw,unit=1,file={variables(folder, certificate)}",
            "-shim", str(shim()))
