# SPDX-License-Identifier: GPL-2.0
"""Section 2: the DMA API, in instructions on one processor, in each mode."""

from vtdlab.bench import guests
from vtdlab.bench.figures import Row

GOAL = 0.85
MODES = ("strict", "lazy", "held")


def measure(bench, out):
    """Returns exact figures; the kernel's own dma_map_benchmark is measured in time."""
    rows = []
    for mode in MODES:
        values = {}
        for driver in guests.DRIVERS:
            records = bench.run(driver, "dma", out / f"dma-{mode}-{driver}", timeout=600,
                                extra=guests.COUNTING, mode=mode)
            for r in records.of("dma"):
                what = f"{'sg ' if r['sg'] == '1' else ''}{r['pages']} pages" \
                       f"{' of ' + r['buffers'] if r['buffers'] != '1' else ''} {r['op']}"
                values.setdefault(what, {})[driver] = r
        for what, by in values.items():
            rows.append(Row("dma-api", f"{mode} {what}", "instructions per operation",
                            float(by["intree"]["mean"]), float(by["vtd"]["mean"]), goal=GOAL,
                            note=" | ".join(f"{by[d]['least']}..{by[d]['most']}"
                                            for d in guests.DRIVERS)))
    return rows
