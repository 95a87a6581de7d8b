# SPDX-License-Identifier: GPL-2.0
"""A machine whose firmware has the DMAR table of another one, with the units that it lists.

QEMU's intel-iommu is the unit that has all the rest (INCLUDE_PCI_ALL), or else the last one. Its
registers are at one address only, so that its entry gets that address; each other unit is at
its own. Where the table names a function of the first root bus that this machine lacks, it gets an
edu. Devices on other root buses do not exist, nor do other segments.
"""

import contextlib
import dataclasses
import gzip
import io
import struct
import tarfile
import zlib
from pathlib import Path

from vtdlab.errors import LabError
from vtdlab.guest import acpi, devices, machines

HEADER = 48         # bytes before the first structure
MOST_BYTES = 1 << 20
MOST_UNITS = 8      # in addition to the first
DUMP, TABLES = "acpi/DMAR", "DMAR"
DRHD = 0
# Slots in which this machine has nothing.
FREE = ("1d", "1e")
# Slots of the first root bus in which this machine has something: its own devices, and the chipset.
TAKEN = {"00", "1f"} | {device.bdf[8:10] for device in devices.ALL if device.bdf.startswith("0000:00")}


@dataclasses.dataclass(frozen=True)
class Listed:
    """A unit of the table."""

    at: int             # in the table
    base: int
    everything: bool
    functions: tuple    # of the first root bus, such as 02.0


def get(name):
    """Returns the machine of this name, or of a table in this file or folder."""
    path = Path(name)
    if name in machines.ALL or not path.exists():
        return machines.get(name)
    return layout(table(path), str(path))


def table(path):
    """Returns the bytes of a table: from a file with it, a dump, or a folder of tables."""
    try:
        found = _find(path)
    except OSError as err:
        raise LabError(f"MACHINE={path} cannot be read: {err.strerror or err}.") from err
    if not found:
        raise LabError(f"MACHINE={path} has no DMAR table: it is neither a dump that vtd save wrote "
                       "nor a folder with a file DMAR, nor such a table. Dumps that the former "
                       "program vtd-save wrote have none.")
    raw = acpi.replacing(found)
    if not raw:
        raise LabError(f"MACHINE={path}: the kernel would refuse this table: its signature, length or "
                       "checksum is wrong.")
    return raw


def _find(path):
    if path.is_dir():
        for name in (f"vtd-dump/{DUMP}", DUMP, TABLES, f"sys/firmware/acpi/tables/{TABLES}"):
            if (path / name).is_file():
                return (path / name).read_bytes()
        return None
    with open(path, "rb") as file:
        raw = file.read(MOST_BYTES)
    if raw[:4] == b"DMAR":
        return raw
    with contextlib.suppress(tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error), \
            tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        for member in archive:
            if member.name.endswith(f"/{DUMP}") and member.isfile() and member.size <= MOST_BYTES:
                return archive.extractfile(member).read()
    return None


def units(raw):
    """Returns the units of the table that are on the first segment."""
    found, at = [], HEADER
    while at + 4 <= len(raw):
        kind, size = struct.unpack_from("<HH", raw, at)
        if size < 4 or at + size > len(raw):
            raise LabError(f"The DMAR table has a structure of {size} bytes at {at:#x}, which no kernel "
                           "can read.")
        if kind == DRHD and size >= 16:
            flags, _, segment, base = struct.unpack_from("<BBHQ", raw, at + 4)
            if segment == 0:
                found.append(Listed(at, base, bool(flags & acpi.INCLUDE_PCI_ALL),
                                    tuple(_functions(raw[at + 16:at + size]))))
        at += size
    if not found:
        raise LabError("The DMAR table lists no unit of segment 0.")
    return found


def _functions(scopes):
    while len(scopes) >= 8 and 6 <= scopes[1] <= len(scopes):
        kind, size, bus, device, function = scopes[0], scopes[1], *scopes[5:8]
        if kind in (acpi.ENDPOINT, acpi.BRIDGE) and bus == 0 and device < 32 and function < 8:
            yield f"{device:02x}.{function:x}"
        scopes = scopes[size:]


def layout(raw, name):
    """Returns the machine for a table."""
    listed = units(raw)
    first = next((unit for unit in listed if unit.everything), listed[-1])
    others = [unit for unit in listed if unit is not first]
    bases = {unit.at: unit.base for unit in listed}
    # Whichever unit has the address of intel-iommu gets the first one's in exchange.
    for unit in others:
        if unit.base == acpi.UNIT_BASE:
            bases[unit.at] = first.base
    bases[first.at] = acpi.UNIT_BASE
    notes = [f"the unit at {unit.base:#x} is at {bases[unit.at]:#x} here" for unit in listed
             if bases[unit.at] != unit.base]
    if len(others) > MOST_UNITS:
        notes.append(f"only {MOST_UNITS + 1} of the units exist, and vtd will not load: QEMU takes no more")
    named = {function for unit in listed for function in unit.functions}
    free = (name for slot in FREE for function in range(8)
            if (name := f"{slot}.{function}") not in named)
    built, used = [], set()
    for number, unit in enumerate(others[:MOST_UNITS]):
        # A unit that serves nothing here has a function that does not exist.
        functions = [name for name in dict.fromkeys(unit.functions) if name not in used] or [next(free)]
        used |= set(functions)
        built.append(machines.Unit(f"listed{number}", bases[unit.at], "/".join(functions), "", ()))
    extra = sorted(name for name in named if name.endswith(".0") and name[:2] not in TAKEN)
    return machines.Layout(
        "table", f"the units of {name}", units=tuple(built), firmware=_changed(raw, bases),
        below=lambda _folder: [word for function in extra for word in (
            "-device", f"edu,bus=pcie.0,addr={function},dma_mask=0xffffffffffffffff")],
        notes=(f"{name}: {len(listed)} unit{'s' * (len(listed) != 1)}, "
               + (f"and an edu at {', '.join(extra)}" if extra else "and the usual devices"),
               *notes))


def _changed(raw, bases):
    """Returns the table with these addresses of units."""
    raw = bytearray(raw)
    for at, base in bases.items():
        struct.pack_into("<Q", raw, at + 8, base)
    raw[9] = (raw[9] - sum(raw)) & 0xFF
    return bytes(raw)
