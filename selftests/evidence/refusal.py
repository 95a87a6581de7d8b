# SPDX-License-Identifier: GPL-2.0
"""A refused load writes no register."""

from evidence.common import brackets


def claims(evidence):
    """Yields (claim, why not) pairs."""
    for name, trace in brackets(evidence, "refusal "):
        if name == "refusal then load":
            continue
        writes = trace.named("vtd_reg_write")
        yield f"{name}: no register of the unit was written", (
            f"the trace has {len(writes)}, the first: {writes[0].text}" if writes else "")
