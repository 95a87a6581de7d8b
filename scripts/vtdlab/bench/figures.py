# SPDX-License-Identifier: GPL-2.0
"""Rows of both drivers, as text and as out/bench/results.csv."""

import csv
import dataclasses
import os

from vtdlab.errors import LabError

# `better` is less or more. The ratio is that of the two figures, or the median `of` the ratios of
# the rounds; the last two columns are the least and the most of those.
COLUMNS = ("section", "row", "unit", "in_tree", "vtd", "ratio", "better", "of", "least", "most")
MAY_BE_EMPTY = ("ratio", "least", "most")


@dataclasses.dataclass(frozen=True)
class Row:
    """One thing measured on both drivers; less is better unless `more`."""

    section: str
    row: str
    unit: str
    in_tree: float
    vtd: float
    note: str = ""
    more: bool = False
    goal: float = None      # the goal: the largest ratio (the smallest, if `more`)
    most: float = None      # the largest value of `vtd`, whatever the other's figure
    paired: float = None    # the ratio, if each round measured both drivers
    spread: tuple = None    # then, the least and the most of the rounds' ratios

    @property
    def ratio(self):
        """Returns ours divided by theirs; None if theirs is 0."""
        if self.paired is not None:
            return self.paired
        return self.vtd / self.in_tree if self.in_tree else None

    @property
    def met(self):
        """Returns whether the goals are reached; True if there is none."""
        if self.most is not None and self.vtd > self.most:
            return False
        if self.goal is None:
            return True
        if self.ratio is None:
            return self.vtd <= self.in_tree
        return self.ratio >= self.goal if self.more else self.ratio <= self.goal


def figure(value):
    """Returns a number in a readable form."""
    if value is None:
        return "-"
    if value == int(value):
        return f"{int(value)}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def text(rows):
    """Returns the table of a list of rows, with a heading wherever the unit changes."""
    width = max(len(text) for row in rows for text in (row.row, row.unit))
    lines, unit = [], None
    for row in rows:
        if row.unit != unit:
            unit = row.unit
            lines += ["", f"{unit:<{width}}   in-tree       vtd   ratio   goal"]
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        goal = _goal(row)
        lines.append(f"{row.row:<{width}} {figure(row.in_tree):>9} {figure(row.vtd):>9} "
                     f"{ratio:>7}   {goal:<14}  {row.note}".rstrip())
    return "\n".join(lines[1:])


def _goal(row):
    if row.goal is None and row.most is None:
        return ""
    wanted = f"{row.goal:.2f}" if row.goal is not None else f"<= {figure(row.most)}"
    return f"{wanted} {'met' if row.met else 'MISSED'}"


def read(path):
    """Returns the rows of a CSV as dictionaries; none if there is no file."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    missing = [name for name in COLUMNS if any(
        row.get(name) is None or (not row[name] and name not in MAY_BE_EMPTY) for row in rows)]
    if missing:
        raise LabError(f"{path} has rows without {', '.join(missing)}, so an older make bench wrote "
                       "it; remove it and measure again.")
    return rows


def _record(row):
    ratio, least, most = ("" if value is None else f"{value:.3f}"
                          for value in (row.ratio, *(row.spread or (None, None))))
    return {"section": row.section, "row": row.row, "unit": row.unit,
            "in_tree": figure(row.in_tree), "vtd": figure(row.vtd), "ratio": ratio,
            "better": "more" if row.more else "less",
            "of": "figures" if row.paired is None else "rounds", "least": least, "most": most}


def write(path, rows):
    """Writes these rows to the CSV. Other sections' rows stay, and so do rows of this section in
    another unit, which are measured at another time."""
    measured = {(row.section, row.unit) for row in rows}
    kept = [old for old in read(path) if (old["section"], old["unit"]) not in measured]
    new = [_record(row) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{path}.new", "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(kept + new)
    os.replace(f"{path}.new", path)
