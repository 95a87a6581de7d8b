# SPDX-License-Identifier: GPL-2.0
"""The driver counted what the unit recorded; recording for a device in a storm is turned off by
its context entry, its faults are not just ignored."""

from evidence.common import brackets
from vtdlab.evidence import decoder


def claims(evidence):
    """Yields (claim, why not) pairs."""
    counted = [record.number("counted") for record in evidence.records.of("faults")]
    for name, trace in brackets(evidence, "fault "):
        if name == "fault flood":
            recorded = len(trace.named("vtd_frr_new"))
            yield f"{name}: what was recorded was counted", (
                "" if counted == [recorded] else f"{counted} counted, {recorded} recorded")
        if name == "fault storm":
            dropped = [event.unit for event in trace.named("vtd_inv_desc") if decoder.descriptor_kind(
                event.value("low"), event.value("high")) == "context-device"]
            refused = {fault.unit for fault in trace.faults()}
            yield f"{name}: its context entry was dropped from its unit's cache", (
                "" if set(dropped) == refused and len(dropped) == 1
                else f"the trace has faults in {refused}, and such invalidations in {dropped}")
        if name == "fault silence":
            yield f"{name}: the unit refused without a record", (
                "" if trace.named("vtd_fault_disabled") and not trace.named("vtd_frr_new")
                else "the trace has no fault whose recording was off, or a new record")
