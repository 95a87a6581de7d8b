# SPDX-License-Identifier: GPL-2.0
"""Descriptors and waits for the same work, as QEMU's unit fetched them."""

from vtdlab.bench import guests
from vtdlab.bench.figures import Row
from vtdlab.evidence.trace import Trace
from vtdlab.guest import devices


def measure(bench, out):
    """Counts the descriptors of strict unmaps of every work, attached."""
    found = {}
    for driver in guests.DRIVERS:
        folder = out / f"descriptors-{driver}"
        records = bench.run(driver, "descriptors", folder, extra=(
            "-device", f"iommu-testdev,bus=pcie.0,addr={devices.TESTDEV.bdf.split(':')[2]}"))
        trace = Trace.read(folder / "qemu-trace.log")
        for record in records.of("descriptors"):
            mark = record.number("mark")
            kinds = trace.between(mark, mark + 1).descriptor_kinds()
            found.setdefault(record["work"], {})[driver] = (
                sum(kinds.values()) / record.number("rounds"),
                kinds["wait"] / record.number("rounds"),
                " ".join(f"{name}:{count}" for name, count in sorted(kinds.items())))
    rows = []
    for work, by in found.items():
        note = f"{by['intree'][2]} | {by['vtd'][2]}"
        rows.append(Row("descriptors", f"{work} unmap, descriptors", "per operation",
                        by["intree"][0], by["vtd"][0], note=note, goal=1))
        rows.append(Row("descriptors", f"{work} unmap, waits", "per operation",
                        by["intree"][1], by["vtd"][1], goal=1))
    return rows
