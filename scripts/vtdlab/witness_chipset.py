# SPDX-License-Identifier: GPL-2.0
"""QEMU's trace of units that are left out or need special treatment.

Like witness.py: functions of the evidence that return (claim, why not) pairs.
"""

from vtdlab.witness import brackets, refusal

GCMD, WRITE_BUFFER_FLUSH = 0x18, 1 << 27


def _flushes(trace):
    """Returns how often the write buffer was flushed."""
    return sum(event.value("addr") == GCMD and bool(event.value("value") & WRITE_BUFFER_FLUSH)
               for event in trace.named("vtd_reg_write"))


def chipset(evidence):
    """A refused load writes no register; the write buffer is flushed if that is needed, and only
    then."""
    yield from refusal(evidence)
    total = _flushes(evidence.trace)
    for name, trace in brackets(evidence, "chipset "):
        flushed = _flushes(trace)
        yield f"{name}: the write buffer was flushed", "" if flushed else "the trace has no flush"
        # The trace of the mapping is a part of the whole trace.
        total -= 0 if name == "chipset map" else flushed
    yield "the write buffer was not flushed where CAP is right", (
        f"the trace has {total} flushes elsewhere" if total else "")


def graphics(evidence):
    """Translation that must never be turned off stays on."""
    wanted = {"graphics refused": [], "graphics sleep": [True]}
    for name, trace in brackets(evidence, "graphics "):
        yield f"{name}: translation is not turned off", (
            "" if trace.translation() == wanted[name] else f"the trace has {trace.translation()}")


BY_TEST = {function.__name__.replace("_", "-"): function for function in (chipset, graphics)}
