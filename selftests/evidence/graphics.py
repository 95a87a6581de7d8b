# SPDX-License-Identifier: GPL-2.0
"""Translation that must never be turned off stays on."""

from evidence.common import brackets


def claims(evidence):
    """Yields (claim, why not) pairs."""
    wanted = {"graphics refused": [], "graphics sleep": [True]}
    for name, trace in brackets(evidence, "graphics "):
        yield f"{name}: translation is not turned off", (
            "" if trace.translation() == wanted[name] else f"the trace has {trace.translation()}")
