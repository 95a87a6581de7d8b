# SPDX-License-Identifier: GPL-2.0
"""A machine with Secure Boot: OVMF with Microsoft's keys starts Debian's shim, that Debian's GRUB, and
that the kernel; each is signed, and checks the next one. What a user confirms once in front of the
machine (a key of the machine's owner, MOK) is written into the firmware's variables.

QEMU's option -shim is no way around GRUB: shim takes a kernel without GRUB only if it has a section .sbat,
which Debian's does not have.
"""

import shutil
from pathlib import Path

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.build.archive import Archive
from vtdlab.errors import LabError

FIRMWARE = Path("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd")
VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.ms.fd")
# The programs of the EFI system partition, where firmware looks for those of a removable disk.
PROGRAMS = {"BOOTX64.EFI": ("shim-signed", "usr/lib/shim/shimx64.efi.signed"),
            "grubx64.efi": ("grub-efi-amd64-signed",
                            "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed")}
# The owner of the key; no part compares it.
OWNER = "5e0f0b9a-3f6c-4d43-9d5a-6a2f7c1f9f01"
TIMEOUT = 120


def program(package, name):
    """Returns a file of a package of Debian's, fetched once."""
    cache = lab.Cache()
    archive = Archive(cache)
    archive.refresh()
    version = archive.newest_package(package)
    folder = cache.entry("secureboot", f"{package}-{lab.key(version)}")
    with cache.lock(folder.name):
        if not lab.is_complete(folder):
            shutil.rmtree(folder, ignore_errors=True)
            archive.unpack([package], version, folder, f"{package} {version}")
            lab.set_complete(folder, version)
    if not (folder / name).is_file():
        raise LabError(f"The package {package} {version} has no {name}; its layout has changed, and "
                       "scripts/vtdlab/guest/secureboot.py must follow.")
    return folder / name


def partition(folder, machine, words):
    """Returns a folder with the files of the EFI system partition; QEMU makes a file system of it."""
    root = folder / "esp"
    (root / "EFI/BOOT").mkdir(parents=True)
    (root / "EFI/debian").mkdir()
    for name, origin in PROGRAMS.items():
        shutil.copyfile(program(*origin), root / "EFI/BOOT" / name)
    shutil.copyfile(machine.kernel, root / "vmlinuz")
    shutil.copyfile(machine.initramfs, root / "initrd.img")
    (root / "EFI/debian/grub.cfg").write_text(
        f"linux /vmlinuz {' '.join(words)}\ninitrd /initrd.img\nboot\n", encoding="ascii")
    return root


def variables(folder, certificate):
    """Returns the firmware's variables, with that certificate enrolled if it is one."""
    target = folder / "variables.fd"
    more = ["--add-mok", OWNER, str(certificate)] if certificate else []
    progress.run("firmware", f"with {'a key' if certificate else 'no key'} of its owner",
                 ["virt-fw-vars", "--input", str(VARIABLES), "--output", str(target), *more],
                 folder / "variables.log", timeout=TIMEOUT)
    return target


def loader(folder, certificate):
    """Returns the loader of a machine that knows this certificate, or none if it is None."""
    def arguments(machine, words):
        return ["-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on",
                "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={FIRMWARE}",
                "-drive", f"if=pflash,format=raw,unit=1,file={variables(folder, certificate)}",
                "-drive", "if=none,id=esp,format=raw,snapshot=on,"
                f"file=fat:{partition(folder, machine, words)}",
                "-device", "ide-hd,drive=esp,bootindex=0"]
    return arguments
