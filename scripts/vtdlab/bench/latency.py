# SPDX-License-Identifier: GPL-2.0
"""Draws what an unmap of one page takes in each mode, by the time that the unit needs.

This is a model, made of counted instructions: nothing in the picture was timed. A mode takes its
instructions, a nanosecond each as with QEMU's -icount, and the unit's latency for each wait.
"""

from vtdlab.bench.drawing import FAINT, INK, text

NAME = "dma-api-latency.svg"
UNIT = "instructions per operation"
# One flush serves as many unmaps of one processor as the core's queue holds.
QUEUED = 255
# Line, row of results.csv, waits of an unmap, look.
MODES = (("strict", "strict 1 pages unmap", 1, 'stroke="#8a2b06" stroke-width="2.5"'),
         ("held, another page each time", "held 1 pages of 1024 unmap", 1 / QUEUED,
          'stroke="#1f6f8b" stroke-width="2.5"'),
         ("held, the same page", "held 1 pages unmap", 1 / QUEUED,
          'stroke="#1f6f8b" stroke-width="2.5" stroke-dasharray="7 4"'),
         ("lazy, not held", "lazy 1 pages unmap", 1 / QUEUED,
          f'stroke="{INK}" stroke-width="1.5" stroke-dasharray="2 3"'))
MOST = 1000
LEFT, RIGHT, TOP, BOTTOM, WIDTH, HEIGHT = 70, 590, 96, 400, 860, 452


def lines(rows):
    """Returns (name, instructions, waits, look) of each mode; nothing if a row is missing."""
    counted = {row["row"]: float(row["vtd"]) for row in rows
               if row["section"] == "dma-api" and row["unit"] == UNIT}
    if any(row not in counted for _, row, _, _ in MODES):
        return []
    return [(name, counted[row], waits, look) for name, row, waits, look in MODES]


def crossing(one, other):
    """Returns the latency at which two lines meet; None if they do not."""
    (_, cost, waits, _), (_, other_cost, other_waits, _) = one, other
    if waits == other_waits:
        return None
    latency = (other_cost - cost) / (waits - other_waits)
    return latency if latency > 0 else None


def draw(rows, out):
    """Writes the picture; returns its paths."""
    modes = lines(rows)
    if modes:
        (out / NAME).write_text(svg(modes), encoding="utf-8")
    return [out / NAME] if modes else []


def svg(modes):
    """Returns the picture."""
    highest = -(-max(cost + waits * MOST for _, cost, waits, _ in modes) // 500) * 500

    def x(latency):
        return LEFT + (RIGHT - LEFT) * latency / MOST

    def y(cost):
        return BOTTOM - (BOTTOM - TOP) * cost / highest

    title = "dma-api: an unmap of one page by the latency of the unit (a model)"
    words = ("Instructions as counted, 1 ns each, and the latency for each wait. Nothing here was timed.",
             "A processor that executes k instructions in a nanosecond has its crossings at 1/k.")
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
             f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="DejaVu Sans, sans-serif" '
             f'font-size="12" fill="{INK}" role="img">', '<!-- SPDX-License-Identifier: GPL-2.0 -->',
             f"<title>{title}</title>", f"<desc>{' '.join(words)}</desc>",
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
             text(16, 26, title, size=16, weight="bold"),
             *(text(16, 50 + 17 * at, line) for at, line in enumerate(words)),
             text(x(MOST / 2), HEIGHT - 10, "latency of the unit in ns: tail write to status write",
                  "middle"), text(16, TOP - 8, "ns of an unmap")]
    for latency in range(0, MOST + 1, 100):
        parts += [f'<line x1="{x(latency):.1f}" x2="{x(latency):.1f}" y1="{TOP}" y2="{BOTTOM}" '
                  f'stroke="{FAINT}"/>', text(x(latency), BOTTOM + 18, str(latency), "middle", 11)]
    for cost in range(0, int(highest) + 1, 500):
        parts += [f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y(cost):.1f}" y2="{y(cost):.1f}" '
                  f'stroke="{FAINT}"/>', text(LEFT - 8, y(cost) + 4, str(cost), "end", 11)]
    for at, (name, cost, waits, look) in enumerate(modes):
        parts += [f'<line x1="{x(0):.1f}" y1="{y(cost):.1f}" x2="{x(MOST):.1f}" '
                  f'y2="{y(cost + waits * MOST):.1f}" {look}/>',
                  f'<line x1="{RIGHT + 16}" x2="{RIGHT + 46}" y1="{TOP + 44 * at}" '
                  f'y2="{TOP + 44 * at}" {look}/>', text(RIGHT + 54, TOP + 44 * at + 4, name)]
        latency = crossing(modes[0], (name, cost, waits, look))
        if at and latency:
            parts += [f'<circle cx="{x(latency):.1f}" cy="{y(cost + waits * latency):.1f}" r="4.5"/>',
                      text(RIGHT + 54, TOP + 44 * at + 21, f"meets strict at {latency:.0f} ns")]
    return "\n".join([*parts, "</svg>"]) + "\n"
