# SPDX-License-Identifier: GPL-2.0
"""A machine as a picture: SVG that needs no external font and no script.

Four columns: units, buses and bridges, groups with their devices, domains. Groups are
laid out from the top in the order of the tree; the boxes of the other columns are placed
at the middle of what they lead to. The owner of a group shows in its colour, in the form
of its frame and in words.
"""

from html import escape

from vtdlab import inspecttext
from vtdlab.inspectmodel import place
from vtdlab.report import number

# Fill, line, dashes: distinct for colour-blind readers, and without colour.
OWNERS = {"kernel": ("#e4f0fb", "#0b62a4", ""), "driver": ("#e3f5ee", "#00795a", "2 3"),
          "user": ("#fdebdc", "#c2500a", "7 4"), "nobody": ("#f1f2f4", "#6b7280", "1 4"),
          "unknown": ("#ffffff", "#9aa3af", "1 4")}
OWNER_TEXT = {"kernel": "the kernel's", "driver": "a driver's own", "user": "a user's",
              "nobody": "no owner", "unknown": "unknown"}
SPECIAL = {"identity": "reaches all of memory", "untranslated": "reaches all of memory",
           "blocked": "reaches nothing"}

MARGIN, TOP, GAP = 24, 96, 14
UNIT_X, UNIT_W = MARGIN, 206
BUS_X, BUS_W = 272, 148
GROUP_X, GROUP_W = 470, 330
DOMAIN_X, DOMAIN_W = 876, 220
WIDTH = DOMAIN_X + DOMAIN_W + MARGIN
HEAD, DEVICE_H, DOMAIN_H, BUS_H = 28, 40, 70, 40

STYLE = """
svg{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-size:12px;fill:#1f2933}
.m{font-family:ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.h{font-size:20px;font-weight:600}.t{font-size:13px;font-weight:600}
.c{font-size:11px;fill:#52606d;letter-spacing:.06em}.s{font-size:11px;fill:#52606d}
.b{fill:#fff;stroke:#cbd2d9}.e{fill:none;stroke:#9fb3c8;stroke-width:1.4}
.f{fill:#b42318;font-size:11px;font-weight:600}
"""


def clip(text, most):
    """Returns the text, cut to the room."""
    return text if len(text) <= most else text[:most - 1] + "…"


def text(at_x, at_y, words, style="", anchor=""):
    """Returns one line of text."""
    style = f' class="{style}"' if style else ""
    anchor = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{at_x:g}" y="{at_y:g}"{style}{anchor}>{escape(words)}</text>'


def box(at_x, at_y, width, height, attributes='class="b"', radius=6):
    """Returns a rectangle."""
    return (f'<rect x="{at_x:g}" y="{at_y:g}" width="{width:g}" height="{height:g}" '
            f'rx="{radius}" {attributes}/>')


def edge(start, end, attributes=""):
    """Returns a line from the right of one box to the left of another."""
    (from_x, from_y), (to_x, to_y) = start, end
    bend = (to_x - from_x) / 2
    return (f'<path class="e" d="M{from_x:g} {from_y:g}C{from_x + bend:g} {from_y:g} '
            f'{to_x - bend:g} {to_y:g} {to_x:g} {to_y:g}"{attributes}/>')


class Picture:
    """The parts of the picture, and the place of each box."""

    def __init__(self, machine):
        self.machine = machine
        self.edges, self.parts = [], []
        self.device_y, self.bus_y = {}, {}
        self.bottom = TOP
        self._groups()
        self._buses()
        self._units()
        self._domains()

    def _spread(self, wanted, height):
        """Returns places of boxes of one height, near the wanted ones and without overlap."""
        placed, last = [], TOP
        for middle in wanted:
            last = max(last, middle - height / 2)
            placed.append(last)
            last += height + GAP
        self.bottom = max(self.bottom, last - GAP if placed else 0)
        return placed

    def _groups(self):
        order, seen = [], set()
        for device in sorted(self.machine.devices.values(), key=place):
            group = self.machine.groups.get(device.group)
            if group and device.unit and group.number not in seen:
                seen.add(group.number)
                order.append(group)
        at_y = TOP
        for group in order:
            members = [device for device in group.devices if device.unit]
            height = HEAD + DEVICE_H * len(members) + 2
            fill, line, dashes = OWNERS[group.owner]
            dashes = f' stroke-dasharray="{dashes}"' if dashes else ""
            self.parts.append(box(GROUP_X, at_y, GROUP_W, height,
                                  f'fill="{fill}" stroke="{line}" stroke-width="1.6"{dashes}', 9))
            owner = OWNER_TEXT[group.owner] + (f", by {group.via}" if group.via else "")
            self.parts.append(text(GROUP_X + 12, at_y + 18, f"group {group.number}", "t"))
            self.parts.append(f'<text x="{GROUP_X + GROUP_W - 12}" y="{at_y + 18:g}" text-anchor="end" '
                              f'fill="{line}" font-weight="600">{escape(owner)}</text>')
            for device in members:
                self._device(device, at_y + HEAD + DEVICE_H * members.index(device))
            at_y += height + GAP
        self.bottom = max(self.bottom, at_y - GAP)

    def _device(self, device, at_y):
        self.device_y[device.bdf] = at_y + (DEVICE_H - 6) / 2
        self.parts.append(box(GROUP_X + 8, at_y, GROUP_W - 16, DEVICE_H - 6))
        self.parts.append(text(GROUP_X + 18, at_y + 15, device.bdf, "m"))
        self.parts.append(text(GROUP_X + 18, at_y + 28, clip(device.kind, 24), "s"))
        right = GROUP_X + GROUP_W - 18
        self.parts.append(text(right, at_y + 15, clip(device.driver or "no driver", 20),
                               "" if device.driver else "s", "end"))
        words = (inspecttext.fault_words(device) if device.faults != 0
                 else clip(inspecttext.entry_words(device), 24))
        if words:
            self.parts.append(text(right, at_y + 28, words, "f" if device.faults else "s", "end"))

    def _buses(self):
        """Draws a box for each root bus and each bridge with something behind it."""
        below = {}
        for device in self.machine.devices.values():
            if device.bdf in self.device_y:
                above = device.above[-1] if device.above else (device.unit, device.root)
                below.setdefault(above, []).append(device)
        nodes = sorted(below, key=lambda key: min(self.device_y[d.bdf] for d in below[key]))
        middles = [self._middle(self.device_y[d.bdf] for d in below[key]) for key in nodes]
        # A root bus is left of the bridges on it.
        for key, at_y in zip(nodes, self._spread(middles, BUS_H)):
            middle = at_y + BUS_H / 2
            self.bus_y[key] = middle
            bridge = isinstance(key, str)
            indent = 24 if bridge else 0
            self.parts.append(box(BUS_X + indent, at_y, BUS_W - indent, BUS_H))
            name, words = (key, "bridge") if bridge else (key[1] or "?", "root bus")
            self.parts.append(text(BUS_X + indent + 10, at_y + 17, name, "m"))
            self.parts.append(text(BUS_X + indent + 10, at_y + 31, words, "s"))
            for device in below[key]:
                self.edges.append(edge((BUS_X + BUS_W, middle),
                                       (GROUP_X + 8, self.device_y[device.bdf])))
        for key in nodes:
            device = self.machine.devices.get(key) if isinstance(key, str) else None
            root = (device.unit, device.root) if device else None
            parent = device.above[-1] if device and device.above else root
            if parent in self.bus_y:
                self._link_down(parent, key)

    def _link_down(self, parent, child):
        """Draws a line from the left of a bus down to a bridge that is on it."""
        step = 12 if not isinstance(parent, str) else 34
        self.edges.append(f'<path class="e" d="M{BUS_X + step} {self.bus_y[parent]:g}'
                          f'V{self.bus_y[child]:g}H{BUS_X + 24}" stroke-dasharray="3 3"/>')

    def _units(self):
        roots = {unit.name: [key for key in self.bus_y if not isinstance(key, str)
                             and key[0] == unit.name] for unit in self.machine.units}
        height = 150
        middles = [self._middle(self.bus_y[key] for key in roots[unit.name])
                   for unit in self.machine.units]
        for unit, at_y in zip(self.machine.units, self._spread(middles, height)):
            self._unit(unit, at_y, height)
            for key in roots[unit.name]:
                self.edges.append(edge((UNIT_X + UNIT_W, at_y + height / 2),
                                       (BUS_X, self.bus_y[key])))

    def _unit(self, unit, at_y, height):
        failed = unit.condition.startswith("failed")
        line = "#b42318" if failed else "#334e68"
        self.parts.append(box(UNIT_X, at_y, UNIT_W, height,
                              f'fill="#f0f4f8" stroke="{line}" stroke-width="1.6"', 9))
        at_x = UNIT_X + 14
        self.parts.append(text(at_x, at_y + 22, unit.name, "t"))
        self.parts.append(text(UNIT_X + UNIT_W - 12, at_y + 22, clip(unit.condition, 22),
                               "f" if failed else "s", "end"))
        able = unit.abilities()
        lines = [f"VT-d {unit.facts.get('version', '?')} at {unit.facts.get('address', '?')}",
                 f"tables: {able['page tables'].replace(' bits', '').replace(' levels', '')}",
                 f"pages: {able['page sizes']}",
                 f"{unit.number('domains_used')} of {number(unit.number('domains_supported'))} "
                 "domain-ids",
                 ]
        if unit.counts:
            lines += [", ".join(inspecttext.many(unit.counts.get(f"{name}s", 0), name)
                                for name in ("map", "unmap")),
                      inspecttext.many(unit.counts.get("descriptors", 0), "descriptor")]
        for index, words in enumerate(lines):
            self.parts.append(text(at_x, at_y + 44 + 17 * index, clip(words, 32), "s"))
        faults = unit.counts.get("faults", 0)
        if faults:
            self.parts.append(text(UNIT_X + UNIT_W - 12, at_y + 44 + 17 * 5,
                                   inspecttext.many(faults, "fault"), "f", "end"))

    def _domains(self):
        ends = {}
        for device in self.machine.devices.values():
            if device.bdf in self.device_y and device.domain in self.machine.domains:
                ends.setdefault(device.domain, []).append(device)
        order = sorted(ends, key=lambda key: self._middle(self.device_y[d.bdf] for d in ends[key]))
        middles = [self._middle(self.device_y[d.bdf] for d in ends[key]) for key in order]
        for key, at_y in zip(order, self._spread(middles, DOMAIN_H)):
            domain = self.machine.domains[key]
            self._domain(domain, at_y)
            for device in ends[key]:
                owner = self.machine.groups[device.group].owner if device.group else "unknown"
                colour = OWNERS[owner][1]
                self.edges.append(edge((GROUP_X + GROUP_W - 8, self.device_y[device.bdf]),
                                       (DOMAIN_X, at_y + DOMAIN_H / 2),
                                       f' style="stroke:{colour}"'))

    def _domain(self, domain, at_y):
        special = SPECIAL.get(domain.key)
        fill = "#fff" if not special else "#f1f2f4" if domain.key == "blocked" else "#fff1f0"
        line = "#627d98" if not special or domain.key == "blocked" else "#b42318"
        self.parts.append(box(DOMAIN_X, at_y, DOMAIN_W, DOMAIN_H,
                              f'fill="{fill}" stroke="{line}" stroke-width="1.4"', 9))
        at_x = DOMAIN_X + 14
        self.parts.append(text(at_x, at_y + 20, domain.name, "t"))
        self.parts.append(text(DOMAIN_X + DOMAIN_W - 12, at_y + 20,
                               inspecttext.kind(domain), "s", "end"))
        ids = f"domain-id {domain.ids}" if domain.ids else ""
        width = f"{domain.width} bits" if domain.width else ""
        lines = [special or ", ".join(filter(None, (ids, width))), inspecttext.pages(domain),
                 inspecttext.work(domain)]
        for index, words in enumerate(filter(None, lines)):
            self.parts.append(text(at_x, at_y + 35 + 13.5 * index, clip(words, 36), "s"))

    @staticmethod
    def _middle(values):
        values = list(values)
        return sum(values) / len(values) if values else TOP


def _legend(machine, at_y):
    shown = [owner for owner in OWNERS
             if any(group.owner == owner for group in machine.groups.values())]
    at_x = MARGIN
    for owner in shown:
        fill, line, dashes = OWNERS[owner]
        dashes = f' stroke-dasharray="{dashes}"' if dashes else ""
        yield box(at_x, at_y - 11, 26, 14, f'fill="{fill}" stroke="{line}" stroke-width="1.6"{dashes}', 4)
        words = f"group: {OWNER_TEXT[owner]}"
        yield text(at_x + 34, at_y, words)
        at_x += 58 + 6.2 * len(words)
    yield text(at_x, at_y, "A line leads from a device to all that it can reach.", "s")


def draw(machine):
    """Returns the whole picture."""
    picture = Picture(machine)
    height = picture.bottom + 64
    title = f"Who may reach what: {inspecttext.driver_words(machine)} on Linux {machine.kernel}"
    heads = [(UNIT_X, "REMAPPING UNITS"), (BUS_X, "BUSES AND BRIDGES"),
             (GROUP_X, "GROUPS AND DEVICES"), (DOMAIN_X, "DOMAINS")]
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
             f'width="{WIDTH}" height="{height:g}" role="img">',
             "<!-- SPDX-License-Identifier: GPL-2.0 -->",
             f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>",
             f'<rect width="{WIDTH}" height="{height:g}" fill="#fff"/>',
             text(MARGIN, 42, clip(title, 90), "h"),
             *(text(at_x, 78, words, "c") for at_x, words in heads),
             *picture.edges, *picture.parts, *_legend(machine, height - 22), "</svg>"]
    return "\n".join(lines) + "\n"
