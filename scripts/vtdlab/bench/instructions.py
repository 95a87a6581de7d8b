# SPDX-License-Identifier: GPL-2.0
"""Instructions of one iommu_map() and one iommu_unmap(), in legacy and in scalable mode."""

from vtdlab.bench import guests
from vtdlab.bench.figures import Row
from vtdlab.errors import LabError

GOAL, LONG_GOAL = 0.5, 0.35
LONG = ("256x4K", "256x2M")


# The stages of a unit in scalable mode, each with the options of QEMU's unit.
STAGES = {"second stage": "scalable-mode=on", "first stage": "scalable-mode=on,fsts=on"}


def measure(bench, out):
    """Measures both drivers in legacy mode, with one guest each."""
    return _measure(bench, out, "instructions", "", "")


def scalable(bench, out):
    """Measures both drivers in scalable mode, with one guest each for either stage."""
    return [row for stage, iommu in STAGES.items()
            for row in _measure(bench, out, "scalable", f"{stage}, ", iommu)]


def _measure(bench, out, section, prefix, iommu):
    folder = f"{section}-{prefix.replace(', ', '-').replace(' ', '-')}"
    said = {driver: _values(bench.run(driver, "instructions", out / f"{folder}{driver}",
                                      extra=guests.COUNTING, iommu=iommu))
            for driver in guests.DRIVERS}
    if said["intree"].keys() != said["vtd"].keys():
        raise LabError("The two drivers' guests did not report the same rows: "
                       f"{sorted(said['intree'].keys() ^ said['vtd'].keys())}.")
    return [_row(section, prefix, key, said["intree"][key], said["vtd"][key])
            for key in said["intree"]]


def _values(records):
    clock = records.of("clock")[0]
    if clock.number("known") != clock.number("expected"):
        raise LabError(f"A loop of {clock['expected']} instructions was measured as "
                       f"{clock['known']}: a tick of this guest's clock is not an instruction.")
    return {(r["work"], r["op"], r["attached"] == "1"): r for r in records.of("instructions")}


def _row(section, prefix, key, in_tree, vtd):
    work, op, attached = key
    name = f"{prefix}{work} {op}{' attached' if attached else ''}"
    return Row(section, name, "instructions per operation",
               float(in_tree["mean"]), float(vtd["mean"]),
               note=f"{_spread(in_tree)} | {_spread(vtd)}",
               goal=LONG_GOAL if work in LONG else GOAL)


def _spread(record):
    least, most = record["least"], record["most"]
    return least if least == most else f"{least}..{most}"
