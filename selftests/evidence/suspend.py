# SPDX-License-Identifier: GPL-2.0
"""Translation is off before the suspend, on after the resume, and no device is refused."""

from evidence.common import brackets


def claims(evidence):
    """Yields (claim, why not) pairs."""
    for name, trace in brackets(evidence, "suspend"):
        faults = trace.faults()
        yield f"{name}: no fault", f"the trace has {faults[0]}" if faults else ""
        for unit, part in evidence.by_unit(trace):
            on = part.translation()
            yield f"{name}: translation of {unit} is switched off, and on again", (
                "" if on == [False, True] else f"the trace has {on}")
