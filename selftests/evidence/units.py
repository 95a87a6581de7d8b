# SPDX-License-Identifier: GPL-2.0
"""When an unmap has returned, no unit has the page cached for a device of the domain, under the
domain-id that this unit has for the domain. The next write of a device shows that it has. Users
of one device are left out."""

from evidence.common import brackets
from vtdlab.evidence import decoder
from vtdlab.guest import devices

PAGE = 1 << 12
NOT_MAPPED = (5, 6)     # fault reasons (VT-d 7.1): as a result of a walk to its end


class CachedPages:
    """What the units have cached, as far as their translations and invalidations are traced."""

    def __init__(self):
        self.pages = set()      # (unit, domain-id, page)
        self.ids = {}           # of each device: (unit, domain-id) of its last translation

    def translated(self, event):
        """A unit has walked the tables and keeps the result."""
        owner = event.unit, event.value("domain")
        self.ids[event.value("sid")] = owner
        self.pages.add((*owner, event.value("iova") // PAGE))

    def invalidated(self, event):
        """A unit has executed a descriptor."""
        low, high = event.value("low"), event.value("high")
        kind, domain = decoder.descriptor_kind(low, high), decoder.field(low, 16, 16)
        first = decoder.field(high, 12, 52)
        last = first | (1 << decoder.field(high, 0, 6)) - 1

        def dropped(unit, of_domain, page):
            if unit != event.unit or not kind.startswith("iotlb-"):
                return False
            return kind == "iotlb-global" or of_domain == domain and (
                kind == "iotlb-domain" or first <= page <= last)

        self.pages = {entry for entry in self.pages if not dropped(*entry)}

    def having(self, page, sids):
        """Returns those of these devices whose unit has the page of their domain cached."""
        return [sid for sid in sids if sid in self.ids and (*self.ids[sid], page) in self.pages]


def _refusals(trace, pair):
    """Returns (how often a page that was cached was refused later, the first refusal of a page
    that a unit still had cached for a device of the pair)."""
    cached, seen, refused, wrong = CachedPages(), set(), 0, ""
    for event in trace.named("vtd_iotlb_page_update", "vtd_inv_desc", "vtd_dmar_fault"):
        if event.name == "vtd_inv_desc":
            cached.invalidated(event)
        elif event.value("sid") not in pair:
            continue
        elif event.name == "vtd_iotlb_page_update":
            cached.translated(event)
            seen.add(event.value("iova") // PAGE)
        elif event.value("fault") in NOT_MAPPED:
            page = event.value("addr") // PAGE
            refused += page in seen
            for sid in cached.having(page, pair):
                unit, domain = cached.ids[sid]
                wrong = wrong or (
                    f"line {event.number} of the trace: {event.value('addr'):#x} is unmapped, and "
                    f"the unit at {unit:#x} has it cached for {devices.name_of(sid)} under "
                    f"domain-id {domain}")
    return refused, wrong


def claims(evidence):
    """Yields (claim, why not) pairs."""
    for name, trace in brackets(evidence, "user "):
        pair = [devices.source_id(word.rstrip(",")) for word in name.split() if ":" in word]
        if len(pair) < 2:
            continue
        refused, wrong = _refusals(trace, pair)
        yield f"{name}: what was unmapped is cached by no unit", wrong or (
            "" if refused > 50 else f"the trace has only {refused} refusals of pages that were cached")
