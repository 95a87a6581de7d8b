# SPDX-License-Identifier: GPL-2.0
"""A map and an unmap in a domain whose devices have device-TLBs: one device, and four."""

from vtdlab.bench import guests
from vtdlab.bench.figures import Row
from vtdlab.build import preload
from vtdlab.errors import LabError
from vtdlab.evidence.trace import Trace
from vtdlab.guest import devices

MOST = 4
# Half of the in-tree driver's instructions, and never more descriptors.
GOAL, DESCRIPTORS_GOAL = 0.5, 1

# Integrated devices, which both drivers let use their device-TLB without a word of firmware.
MACHINE = ("-device", f"iommu-testdev,bus=pcie.0,addr={devices.TESTDEV.bdf.split(':')[2]}",
           *(word for slot in range(MOST) for word in (
               "-device", f"{preload.REQUESTER},bus=pcie.0,addr={0x10 + slot:02x}.0")))


def measure(bench, out):
    """Counts instructions and descriptors, with one guest for each driver."""
    instructions, descriptors = {}, {}
    for driver in guests.DRIVERS:
        folder = out / f"device-tlbs-{driver}"
        records = bench.run(driver, "device-tlbs", folder, iommu="device-iotlb=on",
                            extra=(*guests.COUNTING, *MACHINE), append=["guest.vtd=ats=2"])
        for record in records.of("device-tlbs"):
            name = f"4K {record['op']}, {_named(record)}"
            instructions.setdefault(name, {})[driver] = float(record["mean"])
        trace = Trace.read(folder / "qemu-trace.log")
        for record in records.of("device-tlb-descriptors"):
            kinds = trace.between(record.number("mark"), record.number("mark") + 1)
            kinds, rounds = kinds.descriptor_kinds(), record.number("rounds")
            if kinds["device-tlb"] != rounds * record.number("tlbs"):
                raise LabError(f"{guests.NAMES[driver]} sent {kinds['device-tlb']} invalidations of "
                               f"{_named(record)} in {rounds} unmaps; the devices use none.")
            name = f"4K unmap, {_named(record)}, descriptors"
            descriptors.setdefault(name, {})[driver] = sum(kinds.values()) / rounds
    return [Row("device-tlbs", name, unit, by["intree"], by["vtd"], goal=goal)
            for table, unit, goal in (
                (instructions, "instructions per operation", GOAL),
                (descriptors, "descriptors per operation", DESCRIPTORS_GOAL))
            for name, by in table.items()]


def _named(record):
    tlbs = record.number("tlbs")
    return f"{tlbs} device-TLB{'s' if tlbs > 1 else ''}"
