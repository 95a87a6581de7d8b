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

from vtdlab.build.cpio import Archive
from vtdlab.errors import LabError

IASL_TIMEOUT = 60
INCLUDE_PCI_ALL = 1
ENDPOINT, BRIDGE, IOAPIC = 1, 2, 3
INTERRUPT_REMAPPING, PLATFORM_OPT_IN = 1, 4
# QEMU's intel-iommu; the others can be anywhere.
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


@dataclasses.dataclass(frozen=True)
class Scope:
    """What a structure of a DMAR is about (VT-d 8.3.1)."""

    kind: int               # ENDPOINT, BRIDGE with everything below it, or IOAPIC
    bdf: str                # 0000:bb:dd.f: on a root bus, or by firmware's number of the bus
    identifier: int = 0     # of an I/O APIC

    def raw(self):
        """Returns its bytes."""
        _, bus, slot = self.bdf.split(":")
        device, function = slot.split(".")
        return struct.pack("<BBHBBBB", self.kind, 8, 0, self.identifier, int(bus, 16),
                           int(device, 16), int(function))


@dataclasses.dataclass(frozen=True)
class Unit:
    """A remapping unit in a DMAR; without scopes it has what no other unit has."""

    base: int
    scopes: tuple = ()
    everything: bool = None     # INCLUDE_PCI_ALL; some firmware adds scopes to it
    proximity: int = None       # the node of memory that is near to it

    def raw(self):
        """Returns the bytes of its structure (VT-d 8.3)."""
        everything = not self.scopes if self.everything is None else self.everything
        return _structure(0, struct.pack("<BBHQ", INCLUDE_PCI_ALL * everything, 0, 0, self.base),
                          self.scopes)


def endpoints(*functions):
    """Returns the scopes of these functions."""
    return tuple(Scope(ENDPOINT, bdf) for bdf in functions)


def bridges(*functions):
    """Returns the scopes of these bridges, with everything below them."""
    return tuple(Scope(BRIDGE, bdf) for bdf in functions)


def _structure(kind, body, scopes=()):
    raw = body + b"".join(scope.raw() for scope in scopes)
    return struct.pack("<HH", kind, 4 + len(raw)) + raw


def root_ports_with_ats(*ports):
    """Returns an ATSR: devices below these root ports may send translation requests (VT-d 8.5);
    without ports, those below any port."""
    return _structure(2, struct.pack("<BBH", not ports, 0, 0), bridges(*ports))


def integrated_with_ats(*functions, required=False):
    """Returns a SATC: these functions of the chipset may send translation requests (VT-d 8.8)."""
    return _structure(5, struct.pack("<BBH", required, 0, 0), endpoints(*functions))


def dmar(reserved=(), width=48, flags=0, units=(Unit(UNIT_BASE),), more=()):
    """Returns a DMAR (VT-d 8.1): its units, by default one for everything; reserved regions (8.4);
    the nodes of the units that have one (8.6); and `more` structures. They are in the order in
    which firmware has them."""
    body = struct.pack("<BB10x", width - 1, flags) + b"".join(unit.raw() for unit in units)
    for region in reserved:
        body += _structure(1, struct.pack("<HHQQ", 0, 0, region.base, region.last),
                           endpoints(*region.devices))
    body += b"".join(more)
    for unit in units:
        if unit.proximity is not None:
            body += _structure(3, struct.pack("<IQI", 0, unit.base, unit.proximity))
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
