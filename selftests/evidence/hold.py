# SPDX-License-Identifier: GPL-2.0
"""Strict flushes pages before the page is free; a deferred flush is of the whole domain."""

from evidence import hold_lifetime
from evidence.common import brackets


def claims(evidence):
    """Yields (claim, why not) pairs."""
    for number, (name, trace) in enumerate(brackets(evidence, "hold freed ")):
        kinds = trace.descriptor_kinds()
        late = name.split()[-1] != "strict"
        good = (kinds["iotlb-domain"] and not kinds["iotlb-pages"] if late
                else kinds["iotlb-pages"] and not kinds["iotlb-domain"])
        yield f"{name}, {number}: flushed {'later, as a whole' if late else 'immediately'}", (
            "" if good else f"the trace has {dict(kinds)}")
    for record in evidence.records.of("freed"):
        landed = record["landed"] == "1"
        yield f"{record['policy']}: a page that was freed, reused={record['reused']}", (
            "it was reached" if landed and record["policy"] != "hold=0" else "")
    yield from hold_lifetime.claims(evidence)
