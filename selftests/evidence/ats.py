# SPDX-License-Identifier: GPL-2.0
"""The order of the unit's descriptors: a device-TLB is invalidated after the IOTLB, and a device
that does not answer is cut off before anything else happens to its page."""

from evidence.common import brackets

CONTEXT, IOTLB, DEVICE_TLB, WAIT, PASID_IOTLB = 1, 2, 3, 5, 6
GLOBAL = 1
DRAINS = 3 << 6         # DR and DW, of an IOTLB descriptor
ITE = 0x40              # of the fault status


def _kind(low):
    return low & 0xF


def _source(low):
    return low >> 32 & 0xFFFF


def _is_in_order(trace):
    """Returns why not, or nothing: since the wait before it, an IOTLB is invalidated before a
    device-TLB."""
    count, iotlb = 0, False
    for low, _ in trace.descriptors():
        kind = _kind(low)
        if kind == DEVICE_TLB:
            count += 1
            if not iotlb:
                return "a device-TLB is invalidated without the IOTLB before it"
        iotlb = kind != WAIT and (iotlb or kind in (IOTLB, PASID_IOTLB))
    return "" if count else "no device-TLB is invalidated"


def _cut_off(trace):
    """Returns why not, or nothing: after the error, the context cache is invalidated for the device
    that did not answer, or as a whole, then the IOTLB, which drains, and a wait ends that."""
    events = trace.named("vtd_inv_desc", "vtd_unit")
    errors = [at for at, event in enumerate(events)
              if event.name == "vtd_unit" and f"error {ITE:#x}" in event.text]
    if len(errors) != 1:
        return f"the unit reports {len(errors)} missing answers, not one"
    silent = events[errors[0]].value("source")
    wanted = ["context", "IOTLB", "wait"]
    for event in events[errors[0] + 1:]:
        if event.name != "vtd_inv_desc":
            continue
        low = event.value("low")
        kind = _kind(low)
        if kind == DEVICE_TLB and _source(low) == silent:
            return "its device-TLB is invalidated again"
        if kind == CONTEXT and (low >> 4 & 3 == GLOBAL or _source(low) == silent):
            found = "context"
        elif kind == IOTLB and low & DRAINS == DRAINS:
            found = "IOTLB"
        else:
            found = "wait" if kind == WAIT else ""
        if wanted and found == wanted[0]:
            wanted.pop(0)
    return f"after the error there is no {wanted[0]}" if wanted else ""


def claims(evidence):
    """Yields (claim, why not) pairs."""
    for name, trace in brackets(evidence, "ats "):
        if name.endswith("kept"):
            yield f"{name}: each device-TLB is invalidated after the IOTLB", _is_in_order(trace)
        else:
            yield f"{name}: context entry, then IOTLB with drain, then a wait", _cut_off(trace)
