# SPDX-License-Identifier: GPL-2.0
"""Every window is ended by a flush of the whole domain."""

from evidence.common import brackets, flushes
from evidence.strict import windows


def claims(evidence):
    """Yields (claim, why not) pairs."""
    for number, (_, trace) in enumerate(brackets(evidence, "lazy window")):
        pages, whole = flushes(trace)
        yield f"lazy window {number}: flushed later, as a whole", (
            "" if whole and not pages else f"the trace has {dict(trace.descriptor_kinds())}")
    yield from windows(evidence)
