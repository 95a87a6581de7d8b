# SPDX-License-Identifier: GPL-2.0
"""Whole I/Os in instructions: what the kernel executes for one I/O of fio.

The profiler counts, on one processor and a disk of constant latency, so that neither
a disk nor this machine is measured; interrupts and the timer are included.
"""

import tempfile

from vtdlab.bench import guests, profiles, timed
from vtdlab.bench.figures import Row
from vtdlab.errors import LabError
from vtdlab.guest import devices

# The guest sleeps in real time while it is idle, so that timers do not run ahead.
COUNTING = ("-icount", "shift=0,sleep=on")
# Figures repeat within three per cent, as rows of identity show, which use no IOMMU.
GOAL = 1.03
# The disk answers so late that fio always sleeps: otherwise it would depend on this machine how
# often fio sleeps.
DISK = f"driver=null-co,node-name=nvme0,size={devices.DISK_BYTES},read-zeroes=on,latency-ns=2000000"


def measure(bench, out):
    """Measures strict, lazy and identity, with one guest per mode and driver."""
    rows = []
    for mode in guests.MODES:
        by = {}
        for driver in guests.DRIVERS:
            folder = out / f"counted-{mode}-{driver}"
            with tempfile.TemporaryDirectory(prefix="vtd-disks-") as disks:
                records = bench.run(driver, "work", folder, timeout=900, mode=mode, trace=(),
                                    extra=(*COUNTING, *profiles.plugin(folder),
                                           *_late_disk(timed.standard(disks))),
                                    append=["guest.counted=1"])
            said = records.of("counted")
            by[driver] = _per_io(said, profiles.counts(folder, len(said))[0])
        rows += [Row("work", f"{mode} NVMe {work}, instructions", "instructions per I/O",
                     by["intree"][work], by["vtd"][work], goal=GOAL) for work in by["intree"]]
    return rows


def _late_disk(arguments):
    return [DISK if word.startswith("driver=raw,node-name=nvme0,") else word
            for word in arguments]


def _per_io(said, windows):
    """Returns the instructions of one I/O, by work: two runs of fio differ in nothing else."""
    runs = {}
    for record, count in zip(said, windows):
        runs.setdefault(record["work"], []).append((record.number("ios"), count))
    found = {}
    for work, (few, many) in runs.items():
        if many[0] <= few[0]:
            raise LabError(f"{work} was run with {few[0]} and {many[0]} I/Os; the second run has "
                           "to have more.")
        found[work] = round((many[1] - few[1]) / (many[0] - few[0]), 1)
    return found
