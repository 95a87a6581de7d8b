# SPDX-License-Identifier: GPL-2.0
"""A removed device is blocked after its domain, and never passes through in between."""

from evidence.common import brackets
from vtdlab.evidence import decoder
from vtdlab.guest import devices

PASS_THROUGH_ID = 1     # src/core/concurrent/domain_ids.rs


def claims(evidence):
    """Yields (claim, why not) pairs."""
    sid = devices.RESERVED.sid
    for name, trace in brackets(evidence, "reserved removed"):
        old = [decoder.field(low, 16, 16) for low, high in trace.descriptors()
               if decoder.descriptor_kind(low, high) == "context-device"
               and decoder.field(low, 32, 16) == sid]
        yield f"{name}: its context entry was cleared, and never let it pass", (
            "" if old and PASS_THROUGH_ID not in old
            else f"the trace has invalidations of its entry under the domain-ids {old}")
