# SPDX-License-Identifier: GPL-2.0
"""Translation is switched on, once, after the root table is set."""

from evidence.common import parts


def claims(evidence):
    """Yields (claim, why not) pairs."""
    for _, unit, trace in parts(evidence, "load"):
        yield f"{unit}: translation was switched on once", (
            "" if trace.translation() == [True] else f"the trace has {trace.translation()}")
        names = [event.name for event in trace.events]
        order = [name for name in names if name in ("vtd_reg_dmar_root", "vtd_dmar_enable")]
        yield f"{unit}: the root table was set before translation was switched on", (
            "" if order[:1] == ["vtd_reg_dmar_root"] else f"the trace has {order}")
