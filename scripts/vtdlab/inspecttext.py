# SPDX-License-Identifier: GPL-2.0
"""A machine as a tree of text."""

from vtdlab.report import number, size

OWNER_WORDS = {"kernel": "kernel", "driver": "a driver's own", "user": "user", "nobody": "nobody",
               "unknown": "unknown"}


def driver_words(machine):
    """Returns the driver of the units, in words."""
    return {"vtd": "vtd", "none": "no driver"}.get(machine.driver, "the in-tree driver")


def owner(group):
    """Returns the owner of a group, in words."""
    return OWNER_WORDS[group.owner] + (f" ({group.via})" if group.via else "")


def many(count, name):
    """Returns a count with its name, in the plural unless it is 1."""
    return f"{number(count)} {name}{'' if count == 1 else 's'}"


def pages(domain):
    """Returns what a domain has mapped, in words; empty if that is unknown."""
    if domain.mapped is None:
        return ""
    tables = "" if domain.tables is None else f", {many(domain.tables, 'table')}"
    return f"{size(domain.mapped) if domain.mapped else 'nothing'} mapped{tables}"


def work(domain):
    """Returns how often it was used, and its large pages."""
    return ", ".join(filter(None, (
        "" if domain.maps is None else many(domain.maps, "map"),
        many(domain.large, "large page") if domain.large else "")))


def kind(domain):
    """Returns its type: DMA, strict; unmanaged."""
    if domain.kind == "DMA":
        return f"DMA, {'lazy' if domain.lazy else 'strict'}"
    return domain.kind


def unit_words(unit):
    """Yields a unit's properties and counters, a line each."""
    able = unit.abilities()
    used, there = unit.number("domains_used"), unit.number("domains_supported")
    state = f", {unit.condition}" if unit.condition else ""
    yield (f"{unit.name}: VT-d {unit.facts.get('version', '?')} at "
           f"{unit.facts.get('address', '?')}{state}")
    yield (f"tables of {able['page tables']}; pages of {able['page sizes']}; "
           f"{number(used)} of {number(there)} domain-ids in use")
    if unit.interrupts:
        yield f"interrupts: {unit.interrupts}"
    counts = unit.counts
    if counts:
        names = ("maps", "unmaps", "descriptors", "faults")
        yield ", ".join(f"{number(counts.get(name, 0))} {name}" for name in names)
        flushes = [f"{number(value)} of {name.removeprefix('flush-')}"
                   for name, value in counts.items() if name.startswith("flush-") and value]
        if flushes:
            yield f"invalidations: {', '.join(flushes)}"
    waits = [f"{number(count)} {name.replace('-', ' ')}" for name, count in unit.waits.items()
             if count]
    if waits:
        yield f"waits: {', '.join(waits)}"


def fault_words(device):
    """Returns the number of faults, if they are counted; the in-tree driver counts none."""
    if device.faults is None:
        return "faults unknown"
    return many(device.faults, "fault") if device.faults else "no fault"


def entry_words(device):
    """Returns which interrupt entries it has: interrupts 1-3, 7."""
    ranges = []
    for index in sorted(device.entries):
        if ranges and ranges[-1][1] == index - 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    words = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)
    return f"interrupts {words}" if words else ""


def _domain_words(device, domain):
    """Returns its number, and its domain-id, which the kernel log and the queue use."""
    if domain is None:
        return device.attached
    return domain.name + (f" (domain-id {device.domain_id})" if device.domain_id else "")


def _device(machine, device):
    group, domain = machine.groups.get(device.group), machine.domains.get(device.domain)
    return (device.kind, device.driver or "no driver",
            f"group {device.group}" if device.group else "no group",
            owner(group) if group else "",
            _domain_words(device, domain),
            ", ".join(filter(None, (kind(domain), pages(domain), work(domain)))) if domain else "",
            fault_words(device), entry_words(device))


def _tree(machine, devices):
    """Yields (prefix and name, cells) of each device and bridge, below their root buses."""
    tree = {}
    for device in devices:
        node = tree.setdefault(device.root or "?", {})
        for bridge in device.above:
            node = node.setdefault(bridge, {})
        node.setdefault(device.bdf, {})
    for at, (root, below) in enumerate(tree.items()):
        last = at == len(tree) - 1
        yield f"{'└─' if last else '├─'} root bus {root}", ()
        yield from _below(machine, below, "   " if last else "│  ")


def _below(machine, nodes, indent):
    for at, (bdf, below) in enumerate(nodes.items()):
        last = at == len(nodes) - 1
        device = machine.devices.get(bdf)
        cells = _device(machine, device) if device else ("bridge",)
        yield f"{indent}{'└─' if last else '├─'} {bdf}", cells
        yield from _below(machine, below, indent + ("   " if last else "│  "))


def _columns(rows):
    most = max((len(cells) for _, cells in rows), default=0)
    widths = [max((len(cells[at]) for _, cells in rows if at < len(cells)), default=0)
              for at in range(most)]
    names = max((len(name) for name, cells in rows if cells), default=0)
    for name, cells in rows:
        text = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths))
        yield f"{name.ljust(names)}  {text}".rstrip()


def draw(machine):
    """Yields the lines of the tree."""
    yield f"{driver_words(machine)} on Linux {machine.kernel}"
    for unit in machine.units:
        first, *more = unit_words(unit)
        yield ""
        yield first
        rows = list(_tree(machine, unit.devices))
        for line in more:
            yield f"{'│' if rows else ' '}  {line}"
        yield from _columns(rows)
    if machine.elsewhere:
        yield ""
        yield "behind no unit: " + ", ".join(sorted(device.bdf for device in machine.elsewhere))
    alone = [domain for domain in machine.domains.values() if not domain.groups]
    for domain in alone:
        yield f"no device is in {domain.name}: {', '.join(filter(None, (kind(domain), pages(domain))))}"
    if machine.problems:
        yield ""
        yield "What could not be read:"
        for problem in machine.problems[:10]:
            yield f"  {problem}"
        if len(machine.problems) > 10:
            yield f"  and {len(machine.problems) - 10} more"
