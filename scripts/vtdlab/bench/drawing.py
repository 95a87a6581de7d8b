# SPDX-License-Identifier: GPL-2.0
"""Draws how vtd's figures compare with the in-tree driver's, as SVG and PNG.

There is one picture for each section and unit. A row has both drivers' figures in words
and one bar, from 1 (the same) to the ratio that is printed next to it: number and bar are
the same statistic, the ratio of results.csv. A bar to the wrong side has another colour,
a frame and the word "worse". If the spread of the rounds is known it is drawn, and a ratio
whose spread contains 1 is called undecided.
"""

import math
import subprocess
from xml.sax.saxutils import escape

from vtdlab.bench import workloads

ROW, BAR, LINE, HEAD = 24, 13, 17, 76
LABEL_X, IN_TREE_X, VTD_X = 330, 405, 480
BARS_X, BARS, WIDTH = 500, 400, 1040
BETTER, WORSE, INK, FAINT = "#1f6f8b", "#f2b79a", "#1b1f23", "#d8dee4"
FRAME = "#8a2b06"
TIMEOUT = 120


def draw(rows, out):
    """Draws the rows of results.csv; returns the paths of the SVG files."""
    paths = pictures(rows, out)
    _convert(paths)
    return paths


def pictures(rows, out):
    """Writes the SVG files; returns their paths."""
    groups = {}
    for row in rows:
        groups.setdefault((row["section"], row["unit"]), []).append(row)
    paths = []
    for (section, unit), group in groups.items():
        alone = sum(name == section for name, _ in groups) == 1
        name = section if alone else f"{section}-{unit.replace('/', '').replace(' ', '-')}"
        path = out / f"{name}.svg"
        path.write_text(svg(section, unit, group), encoding="utf-8")
        paths.append(path)
    return paths


def _convert(paths):
    program, env = workloads.converter()
    for path in paths:
        subprocess.run([program, "--background-color=white", "-z", "2",
                        "-o", str(path.with_suffix(".png")), str(path)],
                       check=True, env=env, timeout=TIMEOUT)


class Scale:
    """Returns the place of a ratio: logarithmic, so half and twice are equally far from 1."""

    def __init__(self, rows):
        ratios = [float(row[name]) for row in rows for name in ("ratio", "least", "most")
                  if row[name] and float(row[name]) > 0]
        self.low = min(-1, *(math.floor(math.log2(ratio)) for ratio in ratios or [1]))
        self.high = max(1, *(math.ceil(math.log2(ratio)) for ratio in ratios or [1]))

    def at(self, ratio):
        """Across."""
        bits = math.log2(ratio) if ratio > 0 else self.low
        return BARS_X + BARS * (bits - self.low) / (self.high - self.low)

    def axis(self, top, bottom):
        """Draws a line for each power of two, a strong one for 1."""
        for bits in range(self.low, self.high + 1):
            x, one = self.at(2 ** bits), bits == 0
            look = f'stroke="{INK}"' if one else f'stroke="{FAINT}" stroke-dasharray="2 3"'
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 2}" y2="{bottom + 4}" {look}/>'
            yield text(x, bottom + 20, f"{2.0 ** bits:g}", "middle", size=11)


def svg(section, unit, rows):
    """Returns one picture, which explains its bars and which side is better."""
    scale, words = Scale(rows), _words(rows)
    side = "higher" if rows[0]["better"] == "more" else "lower"
    title = f"{section}: {unit}, {side} is better"
    top = HEAD + LINE * len(words)
    height = top + ROW * len(rows) + 34
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
             f'viewBox="0 0 {WIDTH} {height}" font-family="DejaVu Sans, sans-serif" '
             f'font-size="12" fill="{INK}" role="img">',
             '<!-- SPDX-License-Identifier: GPL-2.0 -->',
             f"<title>{escape(title)}</title>", f"<desc>{escape(' '.join(words))}</desc>",
             f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
             text(16, 26, title, size=16, weight="bold"),
             *(text(16, 50 + LINE * at, line) for at, line in enumerate(words)),
             text(IN_TREE_X, top - 10, "in-tree", "end", weight="bold"),
             text(VTD_X, top - 10, "vtd", "end", weight="bold"),
             text(BARS_X, top - 10, f"vtd by in-tree, {side} is better", weight="bold"),
             *scale.axis(top, top + ROW * len(rows))]
    for index, row in enumerate(rows):
        parts += _row(row, top + index * ROW, scale)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _words(rows):
    """Returns lines that explain the figures."""
    if not any(row["of"] == "rounds" for row in rows):
        return ["Bar and number: vtd's figure by in-tree's, to a logarithmic scale; 1 is the same.",
                "Counted, not timed: there is no spread."]
    spread = ("The thin line goes from the least to the most of the rounds' ratios."
              if any(row["least"] for row in rows) else "How far the rounds lay apart was not recorded.")
    return ["Bar and number: the median of the rounds' ratios, vtd by in-tree, to a logarithmic scale; "
            "1 is the same.",
            f"{spread} Figures: the median of each driver's rounds; their quotient is another number."]


def text(x, y, words, anchor="start", size=12, weight="normal"):
    """Returns words at a place."""
    return (f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}" '
            f'font-weight="{weight}">{escape(words)}</text>')


def verdict(row):
    """Returns better, worse, undecided, or "" if there is no difference or no ratio."""
    if not row["ratio"] or f"{float(row['ratio']):.2f}" == "1.00":
        return ""
    if row["least"] and float(row["least"]) <= 1 <= float(row["most"]):
        return "undecided"
    return "better" if (float(row["ratio"]) > 1) == (row["better"] == "more") else "worse"


def _row(row, y, scale):
    yield (f'<line x1="16" x2="{WIDTH - 16}" y1="{y - 2}" y2="{y - 2}" stroke="{FAINT}"/>')
    yield text(LABEL_X, y + 14, row["row"], "end")
    yield text(IN_TREE_X, y + 14, row["in_tree"], "end")
    yield text(VTD_X, y + 14, row["vtd"], "end")
    said, end = verdict(row), BARS_X + BARS + 14
    if not row["ratio"]:
        yield text(end, y + 14, "-", size=14, weight="bold")
        return
    one, here = scale.at(1), scale.at(float(row["ratio"]))
    look = f'fill="{WORSE}" stroke="{FRAME}"' if said == "worse" else f'fill="{BETTER}"'
    yield (f'<rect x="{min(one, here):.1f}" y="{y + 3}" width="{abs(here - one):.1f}" '
           f'height="{BAR}" {look}/>')
    if row["least"]:
        least, most = scale.at(float(row["least"])), scale.at(float(row["most"]))
        yield (f'<path d="M{least:.1f} {y + 5}v9M{least:.1f} {y + 9.5}H{most:.1f}M{most:.1f} {y + 5}v9" '
               f'stroke="{INK}" fill="none"/>')
    yield text(end, y + 14, f"{float(row['ratio']):.2f}", size=14, weight="bold")
    if said in ("worse", "undecided"):
        yield text(end + 42, y + 14, said)
