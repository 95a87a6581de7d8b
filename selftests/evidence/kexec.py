# SPDX-License-Identifier: GPL-2.0
"""Translation is off before the next kernel starts, on again in it, and off at the end."""



def claims(evidence):
    """Yields (claim, why not) pairs."""
    for unit, trace in evidence.by_unit(evidence.trace):
        on = trace.translation()
        yield f"{unit}: translation: on, off before the next kernel, on in it, off", (
            "" if on == [True, False, True, False] else f"the trace has {on}")
