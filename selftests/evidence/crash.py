# SPDX-License-Identifier: GPL-2.0
"""A load that is refused in the crash kernel writes no register. Under the in-tree driver
translation stayed on from the first kernel's load until then."""

from evidence.common import brackets
from vtdlab.evidence.trace import Trace


def claims(evidence):
    """Yields (claim, why not) pairs."""
    loads = dict(brackets(evidence, "crash refused"))
    yield "the refused load wrote no register", (
        "" if loads and not any(trace.named("vtd_reg_write") for trace in loads.values())
        else "the trace has writes of registers, or no such load")
    if "crash refused under in-tree" not in loads:
        return
    last = max(evidence.records.marks(), default=0)
    until = Trace(evidence.trace.events[:dict(evidence.trace.marks()).get(last, 0)])
    for unit, part in evidence.by_unit(until):
        yield f"translation of {unit} was switched on once, and not off in the crash", (
            "" if part.translation() == [True] else f"the trace has {part.translation()}")
    faults = until.faults()
    yield "no DMA in flight was refused", f"the trace has {faults[0]}" if faults else ""
