# SPDX-License-Identifier: GPL-2.0
"""Firmware tables that replace the machine's or are added to them.

The kernel takes tables from an uncompressed archive in front of its first root
(CONFIG_ACPI_TABLE_UPGRADE). A table with the signature and name of one of the
machine's replaces it if its revision is higher; an SSDT with a new name is added.
"""

import dataclasses
import struct
import subprocess
import tempfile
from pathlib import Path

from vtdlab.cpio import Archive
from vtdlab.errors import LabError

IASL_TIMEOUT = 60
INCLUDE_PCI_ALL = 1
PLATFORM_OPT_IN = 4
UNIT_BASE = 0xFED90000
# The names of QEMU's tables.
OEM, OEM_TABLE, OEM_REVISION = b"BOCHS ", b"BXPC    ", 2


@dataclasses.dataclass(frozen=True)
class Reserved:
    """Memory that firmware reserves for some devices at all times."""

    base: int
    last: int               # inclusive
    devices: tuple          # each 0000:bb:dd.f


def _table(signature, revision, body):
    header = struct.pack("<4sIBB6s8sI4sI", signature, 36 + len(body), revision, 0, OEM, OEM_TABLE,
                         OEM_REVISION, b"VTDL", 1)
    raw = bytearray(header + body)
    raw[9] = -sum(raw) & 0xFF
    return bytes(raw)


def replacing(raw):
    """Returns a table of any origin with the names that let it replace QEMU's, or None if the
    kernel does not accept it: the kernel checks signature, length and checksum first."""
    if (len(raw) < 36 or int.from_bytes(raw[4:8], "little") != len(raw) or sum(raw) & 0xFF
            or raw[:4] != b"DMAR"):
        return None
    named = bytearray(raw)
    named[10:28] = OEM + OEM_TABLE + struct.pack("<I", OEM_REVISION)
    named[9] = (named[9] - sum(named)) & 0xFF
    return bytes(named)


def _scope(bdf):
    """Returns the scope of a device: on a root bus, or behind bridges by firmware's bus number."""
    _, bus, slot = bdf.split(":")
    device, function = slot.split(".")
    return struct.pack("<BBHBBBB", 1, 8, 0, 0, int(bus, 16), int(device, 16), int(function))


def dmar(reserved=(), width=48, flags=0):
    """Returns a DMAR with one unit for everything (VT-d 8.1), and reserved regions (8.4)."""
    body = struct.pack("<BB10x", width - 1, flags)
    body += struct.pack("<HHBBHQ", 0, 16, INCLUDE_PCI_ALL, 0, 0, UNIT_BASE)
    for region in reserved:
        scopes = b"".join(map(_scope, region.devices))
        body += struct.pack("<HHHHQQ", 1, 24 + len(scopes), 0, 0, region.base, region.last) + scopes
    return _table(b"DMAR", 1, body)


def units(*listed):
    """Returns a DMAR with these units: (address, devices), with None for everything (VT-d 8.3)."""
    body = struct.pack("<BB10x", 47, 0)
    for base, devices in listed:
        scopes = b"".join(map(_scope, devices or ()))
        flags = 0 if devices is not None else INCLUDE_PCI_ALL
        body += struct.pack("<HHBBHQ", 0, 16 + len(scopes), flags, 0, 0, base) + scopes
    return _table(b"DMAR", 1, body)


def compiled(source):
    """Compiles a table from its source in ASL."""
    with tempfile.TemporaryDirectory(prefix="vtd-acpi-") as folder:
        path = Path(folder) / "table.asl"
        path.write_text(source, encoding="ascii")
        try:
            done = subprocess.run(["iasl", "-p", str(path.with_suffix("")), str(path)], check=False,
                                  capture_output=True, text=True, timeout=IASL_TIMEOUT)
        except FileNotFoundError as err:
            raise LabError("The build root has no iasl, which firmware tables for tests need; "
                           "it is out of date, so remove it with make distclean.") from err
        if done.returncode:
            raise LabError(f"iasl refused a table:\n{done.stdout}{done.stderr}")
        return path.with_suffix(".aml").read_bytes()


def external_ports(*names):
    """Returns an SSDT that marks root ports as external-facing."""
    ports = "".join(f"""
    External (\\_SB.PCI0.{name}, DeviceObj)
    Scope (\\_SB.PCI0.{name})
    {{
        Name (_DSD, Package () {{
            ToUUID ("efcc06cc-73ac-4bc3-bff0-76143807c389"),
            Package () {{ Package () {{ "ExternalFacingPort", 1 }} }}
        }})
    }}""" for name in names)
    return compiled(f"""
DefinitionBlock ("", "SSDT", 2, "VTDLAB", "EXTPORT", 1)
{{{ports}
}}
""")


def put_before(image, tables, target):
    """Writes to `target` the first root `image` with the tables (name: bytes) in front."""
    with open(target, "wb") as file:
        archive = Archive(file)
        for name, raw in tables.items():
            archive.data(f"kernel/firmware/acpi/{name}.aml", raw)
        archive.close()
        # Consecutive archives usually start on a multiple of 512; they must on one of 4.
        file.write(b"\0" * (-file.tell() % 512))
        file.write(Path(image).read_bytes())
    return Path(target)
