# SPDX-License-Identifier: GPL-2.0
"""The parts of QEMU's trace that a test has marked (`mark` of scripts/guest/lib.sh)."""

PSI = 1 << 39           # of CAP: page-selective invalidation


def brackets(evidence, start):
    """Yields (name, trace) for each pair of marks "<start> NAME begin" and "... end"."""
    open_at = {}
    for mark, label in sorted(evidence.records.marks().items()):
        if not label.startswith(start):
            continue
        if label.endswith(" begin"):
            open_at[label.removesuffix(" begin")] = mark
        elif label.endswith(" end") and label.removesuffix(" end") in open_at:
            name = label.removesuffix(" end")
            yield name, evidence.trace.between(open_at[name], mark)


def flushes(trace):
    """Returns how many invalidations were of pages, and how many of a whole domain; of either stage."""
    kinds = trace.descriptor_kinds()
    return (kinds["iotlb-pages"] + kinds["pasid-iotlb-pages"],
            kinds["iotlb-domain"] + kinds["pasid-iotlb-whole"])


def parts(evidence, start):
    """Yields the same for each unit: (name, unit, the part of the trace that it is in)."""
    for name, trace in brackets(evidence, start):
        for unit, part in evidence.by_unit(trace):
            yield name, unit, part
