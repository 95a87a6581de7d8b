# SPDX-License-Identifier: GPL-2.0
"""A unit discards a wait once, and the driver clears the error; or the unit has failed."""

from evidence import unit_failure
from evidence.common import brackets

FSTS = 0x34
ERRORS = {"wait-ite": 1 << 6, "wait-ice": 1 << 5}


def claims(evidence):
    """Yields (claim, why not) pairs."""
    for name, whole in brackets(evidence, "queue-error "):
        _, error, _, unit = name.split()
        bit = ERRORS[error]
        trace = dict(evidence.by_unit(whole))[unit]
        happened = [event.number for event in trace.named("vtd_unit")
                    if " error " in event.text and event.value("error") == bit]
        cleared = [event.number for event in trace.named("vtd_reg_write")
                   if event.value("addr") == FSTS and event.value("value") & bit]
        yield f"{name}: the unit discarded one wait", (
            "" if len(happened) == 1 else f"the trace has {len(happened)}")
        yield f"{name}: the driver cleared the error", (
            "" if happened and cleared and cleared[-1] > happened[-1]
            else f"the trace has it in lines {happened}, and clears it in lines {cleared}")
        faults = [fault for fault in trace.faults() if fault.reason not in (5, 6)]
        yield f"{name}: no device was blocked", f"the trace has {faults[0]}" if faults else ""
    yield from unit_failure.claims(evidence)
