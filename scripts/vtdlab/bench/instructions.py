# SPDX-License-Identifier: GPL-2.0
"""Section 1: instructions of one iommu_map() and one iommu_unmap()."""

from vtdlab.bench import guests
from vtdlab.bench.figures import Row
from vtdlab.errors import LabError

GOAL, LONG_GOAL = 0.5, 0.35
LONG = ("256x4K", "256x2M")


def measure(bench, out):
    """Measures both drivers, with one guest each."""
    said = {driver: _values(bench.run(driver, "instructions", out / f"instructions-{driver}",
                                      extra=guests.COUNTING))
            for driver in guests.DRIVERS}
    if said["intree"].keys() != said["vtd"].keys():
        raise LabError("The two drivers' guests did not report the same rows: "
                       f"{sorted(said['intree'].keys() ^ said['vtd'].keys())}.")
    return [_row(key, said["intree"][key], said["vtd"][key]) for key in said["intree"]]


def _values(records):
    clock = records.of("clock")[0]
    if clock.number("known") != clock.number("expected"):
        raise LabError(f"A loop of {clock['expected']} instructions was measured as "
                       f"{clock['known']}: a tick of this guest's clock is not an instruction.")
    return {(r["work"], r["op"], r["attached"] == "1"): r for r in records.of("instructions")}


def _row(key, in_tree, vtd):
    work, op, attached = key
    name = f"{work} {op}{' attached' if attached else ''}"
    return Row("instructions", name, "instructions per operation",
               float(in_tree["mean"]), float(vtd["mean"]),
               note=f"{_spread(in_tree)} | {_spread(vtd)}",
               goal=LONG_GOAL if work in LONG else GOAL)


def _spread(record):
    least, most = record["least"], record["most"]
    return least if least == most else f"{least}..{most}"
