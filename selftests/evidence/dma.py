# SPDX-License-Identifier: GPL-2.0
"""The unit translated for each device, and raised no fault."""

from evidence.common import brackets
from vtdlab.guest import devices


def claims(evidence):
    """Yields (claim, why not) pairs."""
    for name, trace in brackets(evidence, "dma "):
        bdf = name.split()[1].rstrip(":")
        sid = devices.source_id(bdf)
        walks = sum(e.value("sid") == sid for e in trace.named("vtd_iotlb_page_update"))
        yield f"{name}: translated by the unit", "" if walks else "the trace shows no walk for it"
        faults = trace.faults()
        yield f"{name}: no fault", f"the trace has {faults[0]}" if faults else ""
        left_out = trace.named("vtd_translate_pt")
        yield f"{name}: not passed through", (
            "" if not left_out else f"the trace has {len(left_out)} accesses that were")
