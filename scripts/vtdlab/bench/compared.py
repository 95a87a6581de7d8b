# SPDX-License-Identifier: GPL-2.0
"""What holding memory costs in time, next to the other modes: the kernel's dma_map_benchmark.

The guests of all modes take turns, so that each round has figures that can be compared.
"""

import csv
import statistics

from vtdlab.bench.figures import figure

GUESTS = {"in-tree lazy": ("intree", "lazy"), "strict": ("vtd", "strict"),
          "lazy": ("vtd", "lazy"), "held": ("vtd", "held")}
TABLE = "modes.csv"
# The goal for the time of an unmap by the same without holding.
GOAL = 1.15
COLUMNS = ("row", *GUESTS, "held by lazy", "least", "most")
DESCRIPTORS = "descriptors of an unmap"


def measure(bench, out, rounds):
    """Measures, writes the table and returns its table as text."""
    rows = {}
    for number in range(rounds):
        names = list(GUESTS)[::-1 if number % 2 else 1]
        said = bench.modes("dma-api", {
            name: (*GUESTS[name], out / f"modes-{name.replace(' ', '-')}-{number}", (), ())
            for name in names})
        for name, records in said.items():
            for record in records.of("dma-time"):
                for row, value in _figures(record):
                    rows.setdefault(row, {}).setdefault(name, []).append(value)
    table = [_row(row, by) for row, by in rows.items()]
    with open(out / TABLE, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    return text(table)


def _figures(record):
    threads = record.number("threads")
    what = f"{record['work']}, {threads} thread{'s' if threads > 1 else ''}"
    for operation in ("map", "unmap"):
        yield f"{what}: us of a{'n' if operation == 'unmap' else ''} {operation}", \
            float(record[operation])
    if record.number("unmaps"):
        yield f"{what}: {DESCRIPTORS}", record.number("descriptors") / record.number("unmaps")


def _row(row, by):
    found = {"row": row} | {name: figure(round(statistics.median(by[name]), 3)) if name in by else ""
                            for name in GUESTS}
    ratios = [held / lazy for held, lazy in zip(by["held"], by["lazy"]) if lazy]
    if DESCRIPTORS not in row and len(ratios) == len(by["held"]):
        found |= {"held by lazy": f"{statistics.median(ratios):.2f}",
                  "least": f"{min(ratios):.2f}", "most": f"{max(ratios):.2f}"}
    return {name: found.get(name, "") for name in COLUMNS}


def text(table):
    """Returns the rows as text."""
    width = max(len(row["row"]) for row in table)
    lines = [" ".join(f"{name:>12}" if name != "row" else f"{'':<{width}}" for name in COLUMNS)]
    for row in table:
        missed = row["held by lazy"] and " unmap" in row["row"] and \
            float(row["held by lazy"]) > GOAL
        lines.append(" ".join(f"{row[name]:>12}" if name != "row" else f"{row[name]:<{width}}"
                              for name in COLUMNS) + ("  MISSED" if missed else ""))
    return "\n".join(lines)
