# SPDX-License-Identifier: GPL-2.0
"""A mixture is refused before anything changes; a device is blocked during its reset."""

from evidence.common import brackets


def _changes_nothing(brackets):
    """A refused request between these marks submits no descriptor."""
    for name, trace in brackets:
        found = trace.descriptors()
        yield f"{name}: no invalidation", (
            f"the trace has {len(found)}, the first {found[0]}" if found else "")


def claims(evidence):
    """Yields (claim, why not) pairs."""
    found = list(brackets(evidence, "ownership "))
    yield from _changes_nothing(pair for pair in found if pair[0] != "ownership reset")
    for _, trace in (pair for pair in found if pair[0] == "ownership reset"):
        kinds = trace.descriptor_kinds()
        yield "the reset blocked the device", (
            "" if kinds["context-device"] else f"the trace has {dict(kinds)}")
