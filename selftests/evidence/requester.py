# SPDX-License-Identifier: GPL-2.0
"""Each request is recorded once, as one of the requester, and no others are refused."""

from evidence.common import brackets
from vtdlab.guest import devices

# Each refused request of selftests/requester.sh, in order. The last two are interrupts, which are sent
# only if they are remapped.
REASONS = [0x31, 0x31, 0xd, 0xd, 0xd, 0x25, 0x26]


def claims(evidence):
    """Yields (claim, why not) pairs."""
    for name, trace in brackets(evidence, "requester "):
        records = [(event.value("high") & 0xffff, event.value("high") >> 32 & 0xff)
                   for event in trace.named("vtd_frr_new")]
        wanted = [(devices.source_id(name.split()[1]), reason) for reason in REASONS]
        yield f"{name}: each request was refused once, for the reason in the log", (
            "" if records in (wanted, wanted[:-2]) else
            f"the trace has (source-id, reason) {records}")
