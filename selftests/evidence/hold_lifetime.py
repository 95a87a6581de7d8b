# SPDX-License-Identifier: GPL-2.0
"""What is counted as held was not invalidated by its unmap; what is counted as flushed was."""

from evidence.common import PSI, brackets, flushes


def claims(evidence):
    """Yields (claim, why not) pairs."""
    said = {record["name"]: record for record in evidence.records.of("kind")}
    for name, whole in brackets(evidence, "hold kind "):
        record = said[name.split()[-1]]
        unit, trace = evidence.of_device(whole, record["bdf"])
        pages, domains = flushes(trace)
        late = record["counter"] == "held-pages"
        found = pages if unit.cap & PSI or late else domains
        wanted = 0 if late else record.number("grew")
        good = found == wanted if unit.cap & PSI or late else found >= wanted
        yield f"{name}: {'held' if late else 'flushed'}, as {record['counter']} says", (
            "" if good else f"the trace has {dict(trace.descriptor_kinds())}, and the counter has grown by "
                            f"{record['grew']}")
