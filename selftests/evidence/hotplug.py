# SPDX-License-Identifier: GPL-2.0
"""A removed device is removed from the unit's caches; its further requests are refused."""

from evidence.common import brackets
from vtdlab.evidence import decoder
from vtdlab.guest import devices


def claims(evidence):
    """Yields (claim, why not) pairs."""
    for name, trace in brackets(evidence, "hotplug "):
        if name == "hotplug removed":
            reasons = {(fault.sid, fault.reason) for fault in trace.faults()}
            # 5, 6 or, of a first stage, 0x71: before it was removed, the page was not mapped.
            wanted = {(devices.TESTDEV.sid, reason) for reason in (2, 5, 6, 0x71)}
            yield f"{name}: refused for lack of a context entry", (
                "" if (devices.TESTDEV.sid, 2) in reasons and reasons <= wanted
                else f"the trace has requesters and reasons {sorted(reasons)}")
            continue
        faults = trace.faults()
        yield f"{name}: no fault", f"the trace has {faults[0]}" if faults else ""
        withdrawn = [low for low, high in trace.descriptors()
                     if decoder.descriptor_kind(low, high) == "context-device"
                     and decoder.field(low, 32, 16) == devices.NVME.sid]
        yield f"{name}: the disk's context entry was dropped from the cache", (
            "" if withdrawn else "the trace has no such invalidation")
