# SPDX-License-Identifier: GPL-2.0
"""Strict flushes pages in each unmap; lazy flushes a whole domain later."""

from evidence.common import PSI, brackets, flushes

LAZY = ("sysfs", "lazy-1", "lazy=1", "iommu.strict=0")


def windows(evidence):
    """Checks how long a page just unmapped stayed reachable, for each policy."""
    found = {}
    for record in evidence.records.of("window"):
        found.setdefault(record["policy"], []).append((record.number("hits"),
                                                       record.number("last-us")))
    for policy, windows in found.items():
        longest = max(us for _, us in windows)
        hits = sum(count for count, _ in windows)
        yield (f"{policy}: after {len(windows)} unmaps {hits} writes landed, the last of them "
               f"{longest} us late"), (
                   "" if bool(hits) == (policy in LAZY) else "another policy was chosen")


def claims(evidence):
    """Yields (claim, why not) pairs."""
    for name, whole in brackets(evidence, "strict window "):
        *_, bdf, policy = name.split()
        unit, trace = evidence.of_device(whole, bdf)
        pages, domains = flushes(trace)
        late = policy in LAZY
        good = domains and not pages if late else pages if unit.cap & PSI else domains
        yield f"{name}: flushed {'later, as a whole' if late else 'immediately'} in {unit.name}", (
            "" if good else f"the trace has {dict(trace.descriptor_kinds())}")
    yield from windows(evidence)
