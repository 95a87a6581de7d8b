# SPDX-License-Identifier: GPL-2.0
"""A map and an unmap in a domain with devices behind one unit, two units and three."""

import contextlib
import tempfile

from vtdlab.bench import guests
from vtdlab.bench.figures import Row
from vtdlab.bench.timed import Samples
from vtdlab.errors import LabError
from vtdlab.guest import acpi, machines

BUSES = {"second": 0x40, "third": 0x80}
UNITS = 1 + len(BUSES)
# Instructions: half of the in-tree driver's, as in the other rows.
GOAL, TIME_GOAL = 0.5, 1

# A unit for each root bus, all with the same abilities, and an edu behind each.
MACHINE = machines.Layout(
    "units", "a remapping unit and an edu for each of three root buses",
    units=tuple(machines.Unit(f"{name}unit", acpi.UNIT_BASE + 0x1000 * number, name, "",
                              acpi.bridges(f"0000:{bus:02x}:00.0"))
                for number, (name, bus) in enumerate(BUSES.items(), 1)),
    buses=tuple(word for number, (name, bus) in enumerate(BUSES.items(), 10) for word in (
        "-device", f"pxb-pcie,id={name},bus_nr={bus},bus=pcie.0,addr={number:02x}.0")),
    below=lambda _folder: [word for number, name in enumerate(BUSES, 20) for word in (
        "-device", f"pcie-root-port,id={name}port,bus={name},chassis={number},addr=00.0",
        "-device", f"edu,bus={name}port,addr=00.0,dma_mask=0xffffffffffffffff")])


@contextlib.contextmanager
def _machine(bench):
    """Provides the words for QEMU, and the initramfs with the machine's table."""
    with tempfile.TemporaryDirectory(prefix="vtd-tables-") as folder:
        image = MACHINE.image(bench.bed.image, None, f"{folder}/initramfs")
        yield tuple(MACHINE.devices(folder, usual=lambda _folder: [])), image


def count(bench, out):
    """Counts instructions, with one guest for each driver."""
    with _machine(bench) as (words, image):
        said = {driver: _checked(bench.run(driver, "units", out / f"units-{driver}", image=image,
                                           extra=(*guests.COUNTING, *words)), driver)
                for driver in guests.DRIVERS}
    means = {driver: {_name(r): float(r["mean"]) for r in records.of("units")}
             for driver, records in said.items()}
    return [Row("units", name, "instructions per operation", mean, means["vtd"][name], goal=GOAL)
            for name, mean in means["intree"].items()]


def time(bench, out, rounds):
    """Measures time; the two drivers' guests take turns."""
    times = Samples()
    with _machine(bench) as (words, image):
        for number in range(rounds):
            order = guests.DRIVERS[::-1 if number % 2 else 1]
            said = bench.turns("units-time", "strict", {
                driver: (out / f"units-time-{driver}-{number}", words, ()) for driver in order},
                               image=image)
            for driver, records in said.items():
                for r in _checked(records, driver).of("units-time"):
                    times.add(_name(r), driver, r.number("ns") / 1000)
    return times.table("units", "microseconds per operation", goal=TIME_GOAL)


def _name(record):
    units = record.number("units")
    return f"4K {record['op']}, {units} unit{'s' if units > 1 else ''}"


def _checked(records, driver):
    """Returns the records, if each device was behind another unit."""
    found = {record["unit"] for record in records.of("device")}
    if len(found) != UNITS or len(records.of("device")) != UNITS:
        raise LabError(f"On {guests.NAMES[driver]} the devices were to be behind {UNITS} units, "
                       f"but they are behind {', '.join(sorted(found)) or 'none'}.")
    return records
