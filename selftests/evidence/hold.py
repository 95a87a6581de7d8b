# SPDX-License-Identifier: GPL-2.0
"""Strict flushes pages before the page is free; a deferred flush is of the whole domain."""

from evidence import hold_lifetime
from evidence.common import brackets, flushes


def claims(evidence):
    """Yields (claim, why not) pairs."""
    for number, (name, trace) in enumerate(brackets(evidence, "hold freed ")):
        pages, whole = flushes(trace)
        late = name.split()[-1] != "strict"
        good = whole and not pages if late else pages and not whole
        yield f"{name}, {number}: flushed {'later, as a whole' if late else 'immediately'}", (
            "" if good else f"the trace has {dict(trace.descriptor_kinds())}")
    for record in evidence.records.of("freed"):
        landed = record["landed"] == "1"
        yield f"{record['policy']}: a page that was freed, reused={record['reused']}", (
            "it was reached" if landed and record["policy"] != "hold=0" else "")
    yield from hold_lifetime.claims(evidence)
