# SPDX-License-Identifier: GPL-2.0
"""Both drivers side by side, with their ratios, as SVG and PNG.

One picture for each section and unit: a pair of bars for every row, the longer
one as wide as the space there is, and the figures in words beside them.
"""

import subprocess
from xml.sax.saxutils import escape

from vtdlab import benchtools

ROW, BAR, GAP = 34, 13, 3
LABEL, BARS, TAIL, TOP = 330, 430, 150, 76
IN_TREE, VTD, INK, FAINT = "#9aa5b1", "#1f6f8b", "#1b1f23", "#d8dee4"
TIMEOUT = 120


def draw(rows, out):
    """Pictures of the rows of results.csv; the paths of the SVG files."""
    groups = {}
    for row in rows:
        groups.setdefault((row["section"], row["unit"]), []).append(row)
    paths = []
    for (section, unit), group in groups.items():
        alone = sum(name == section for name, _ in groups) == 1
        name = section if alone else f"{section}-{unit.replace('/', '').replace(' ', '-')}"
        path = out / f"{name}.svg"
        path.write_text(svg(f"{section}: {unit}", group), encoding="utf-8")
        paths.append(path)
    _convert(paths)
    return paths


def _convert(paths):
    program, env = benchtools.converter()
    for path in paths:
        subprocess.run([program, "--background-color=white", "-z", "2",
                        "-o", str(path.with_suffix(".png")), str(path)],
                       check=True, env=env, timeout=TIMEOUT)


def svg(title, rows):
    """One picture; the bars of a row are to its own scale."""
    width, height = LABEL + BARS + TAIL, TOP + ROW * len(rows) + 16
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             f'viewBox="0 0 {width} {height}" font-family="DejaVu Sans, sans-serif" '
             f'font-size="12" fill="{INK}">',
             '<!-- SPDX-License-Identifier: GPL-2.0 -->',
             _text(16, 26, title, size=16, weight="bold"), *_legend(16, 50)]
    for index, row in enumerate(rows):
        parts += _row(row, TOP + index * ROW)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(x, y, text, anchor="start", size=12, weight="normal"):
    return (f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" '
            f'font-weight="{weight}">{escape(text)}</text>')


def _bar(x, y, width, colour):
    return f'<rect x="{x}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>'


def _legend(x, y):
    return [_bar(x, y - 11, 13, IN_TREE), _text(x + 20, y, "in-tree driver"),
            _bar(x + 130, y - 11, 13, VTD), _text(x + 150, y, "vtd"),
            _text(x + 200, y, "each pair of bars to its own scale; at the right vtd by in-tree")]


def _number(text):
    return 0.0 if text in ("", "-") else float(text)


def _row(row, y):
    in_tree, vtd = _number(row["in_tree"]), _number(row["vtd"])
    scale = BARS * 0.82 / (max(in_tree, vtd) or 1)
    parts = [f'<line x1="16" x2="{LABEL + BARS + TAIL - 16}" y1="{y - 2}" y2="{y - 2}" '
             f'stroke="{FAINT}"/>', _text(LABEL - 12, y + 20, row["row"], anchor="end")]
    for place, (value, text, colour) in enumerate(((in_tree, row["in_tree"], IN_TREE),
                                                   (vtd, row["vtd"], VTD))):
        top = y + 2 + place * (BAR + GAP - 1)
        parts += [_bar(LABEL, top, value * scale, colour),
                  _text(f"{LABEL + value * scale + 6:.1f}", top + 11, text, size=11)]
    ratio = f"{float(row['ratio']):.2f}" if row["ratio"] else "-"
    return parts + [_text(LABEL + BARS + TAIL - 24, y + 21, ratio, anchor="end", size=14,
                          weight="bold")]
