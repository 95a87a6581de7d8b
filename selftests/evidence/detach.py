# SPDX-License-Identifier: GPL-2.0
"""Translation is switched off first, the queue after it, and no device is refused."""

from evidence.common import brackets


def claims(evidence):
    """Yields (claim, why not) pairs."""
    for name, trace in brackets(evidence, "detach "):
        faults = trace.faults()
        yield f"{name}: no fault", f"the trace has {faults[0]}" if faults else ""
        for unit, part in evidence.by_unit(trace):
            off = [event.name for event in part.named("vtd_dmar_enable", "vtd_inv_qi_enable")]
            yield f"{name}: translation of {unit} is switched off before the queue", (
                "" if part.translation() == [False]
                and off == ["vtd_dmar_enable", "vtd_inv_qi_enable"]
                else f"the trace has {off}, and translation {part.translation()}")
