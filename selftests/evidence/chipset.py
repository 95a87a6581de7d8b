# SPDX-License-Identifier: GPL-2.0
"""A refused load writes no register; the write buffer is flushed if that is needed, and only
then."""

from evidence import refusal
from evidence.common import brackets

GCMD, WRITE_BUFFER_FLUSH = 0x18, 1 << 27


def _flushes(trace):
    """Returns how often the write buffer was flushed."""
    return sum(event.value("addr") == GCMD and bool(event.value("value") & WRITE_BUFFER_FLUSH)
               for event in trace.named("vtd_reg_write"))


def claims(evidence):
    """Yields (claim, why not) pairs."""
    yield from refusal.claims(evidence)
    total = _flushes(evidence.trace)
    for name, trace in brackets(evidence, "chipset "):
        flushed = _flushes(trace)
        yield f"{name}: the write buffer was flushed", "" if flushed else "the trace has no flush"
        # The trace of the mapping is a part of the whole trace.
        total -= 0 if name == "chipset map" else flushed
    yield "the write buffer was not flushed where CAP is right", (
        f"the trace has {total} flushes elsewhere" if total else "")
