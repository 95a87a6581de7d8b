# SPDX-License-Identifier: GPL-2.0
"""What QEMU's trace says of units that are left out or need more care than others.

As witness.py: functions of the evidence that return (claim, why not) pairs.
"""

from vtdlab.witness import brackets, refusal

GCMD, WRITE_BUFFER_FLUSH = 0x18, 1 << 27


def _flushes(trace):
    """How often the write buffer was flushed."""
    return sum(event.value("addr") == GCMD and bool(event.value("value") & WRITE_BUFFER_FLUSH)
               for event in trace.named("vtd_reg_write"))


def chipset(evidence):
    """A refused load writes no register; a write buffer is flushed where that is needed, and
    nowhere else."""
    yield from refusal(evidence)
    total = _flushes(evidence.trace)
    for name, trace in brackets(evidence, "chipset "):
        flushed = _flushes(trace)
        yield f"{name}: the write buffer was flushed", "" if flushed else "the trace has no flush"
        # The mapping is a part of the other.
        total -= 0 if name == "chipset map" else flushed
    yield "the write buffer was not flushed where CAP is right", (
        f"the trace has {total} flushes elsewhere" if total else "")


def graphics(evidence):
    """Translation that may never go off is never turned off."""
    wanted = {"graphics refused": [], "graphics sleep": [True]}
    for name, trace in brackets(evidence, "graphics "):
        yield f"{name}: translation is not turned off", (
            "" if trace.translation() == wanted[name] else f"the trace has {trace.translation()}")


BY_TEST = {function.__name__.replace("_", "-"): function for function in (chipset, graphics)}
