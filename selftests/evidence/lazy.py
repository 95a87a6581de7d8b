# SPDX-License-Identifier: GPL-2.0
"""Every window is ended by a flush of the whole domain."""

from evidence.common import brackets
from evidence.strict import windows


def claims(evidence):
    """Yields (claim, why not) pairs."""
    for number, (_, trace) in enumerate(brackets(evidence, "lazy window")):
        kinds = trace.descriptor_kinds()
        yield f"lazy window {number}: flushed later, as a whole", (
            "" if kinds["iotlb-domain"] and not kinds["iotlb-pages"]
            else f"the trace has {dict(kinds)}")
    yield from windows(evidence)
