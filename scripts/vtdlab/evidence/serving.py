# SPDX-License-Identifier: GPL-2.0
"""QEMU's trace of a machine with several units: which of them each device belongs to.
"""

from vtdlab.evidence import decoder, klog
from vtdlab.guest import devices


def claims(evidence):
    """Yields (claim, why not) pairs: each requester belongs to one unit, and the driver knows which."""
    if evidence.machine.units:
        count, traced = 1 + len(evidence.machine.units), len(evidence.trace.units())
        yield f"QEMU's trace names {count} units", "" if traced == count else f"it names {traced}"
    if None in evidence.units:
        return
    known = {sid: set(found) for sid, found in evidence.serving.items()}
    for event in evidence.trace.named("vtd_inv_desc"):
        low, high = event.value("low"), event.value("high")
        if decoder.descriptor_kind(low, high) == "context-device":
            known.setdefault(decoder.field(low, 32, 16), set()).add(event.unit)
    wrong = [f"{devices.name_of(sid)}: {sorted(evidence.units[unit].name for unit in found)}"
             for sid, found in known.items() if len(found) > 1]
    yield "each requester is translated, refused and invalidated in one unit only", "; ".join(wrong)
    refused = {(fault.sid, evidence.units[fault.unit].name) for fault in evidence.trace.faults()}
    reported = [fault for fault in klog.faults(evidence.console) if fault.unit]
    other = [fault.line for fault in reported
             if (devices.source_id(fault.bdf), fault.unit) not in refused]
    if reported:
        yield "each fault is reported of the unit that refused", "; ".join(other)
