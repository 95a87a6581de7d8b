# SPDX-License-Identifier: GPL-2.0
"""An incompatible domain is refused before anything changes."""

from evidence.common import brackets


def _changes_nothing(brackets):
    """A refused request between these marks submits no descriptor."""
    for name, trace in brackets:
        found = trace.descriptors()
        yield f"{name}: no invalidation", (
            f"the trace has {len(found)}, the first {found[0]}" if found else "")


def claims(evidence):
    """Yields (claim, why not) pairs."""
    yield from _changes_nothing(brackets(evidence, "limited-unit "))
