# SPDX-License-Identifier: GPL-2.0
"""Both witnesses."""

from evidence.common import brackets
from vtdlab.errors import LabError
from vtdlab.evidence import dump

KINDS = {"flush-context": ("context-device", "context-domain", "context-global",
                           "pasid-cache"),
         "flush-page": ("iotlb-pages", "pasid-iotlb-pages"),
         "flush-domain": ("iotlb-domain", "pasid-iotlb-whole"),
         "flush-global": ("iotlb-global",), "waits": ("wait",)}


def _counts(evidence):
    """Each kind of descriptor was counted as often as the unit executed it."""
    before, after = (evidence.records.of(f"inspect-{when}")[-1:] for when in ("before", "after"))
    if not before or not after:
        yield "the guest reports its counts", "it has no such lines"
        return
    for _, trace in brackets(evidence, "inspect counts"):
        taken = trace.descriptor_kinds()
        kinds = {name: sum(taken[kind] for kind in kinds) for name, kinds in KINDS.items()}
        kinds["descriptors"] = sum(taken.values())
        for name, seen in kinds.items():
            counted = (after[0].number(name) or 0) - (before[0].number(name) or 0)
            yield f"{name}: as many as the unit executed", (
                "" if counted == seen else f"{counted} counted, {seen} in the trace")
        yield "every kind of descriptor was counted", (
            "" if min(kinds[name] for name in ("flush-context", "flush-page", "waits")) > 0
            else f"the trace has {kinds}")


def _saved(evidence):
    """The dump agrees with the guest's sysfs about every device."""
    try:
        path = dump.receive(evidence.records, evidence.outcome.console.parent)
        if path is None:
            yield "the dump has arrived", "the guest sent none"
            return
        drawn = dump.draw(path)
    except LabError as err:
        yield "the dump can be read", str(err)
        return
    yield "all of the dump can be read", drawn.partition("Not read:")[2]
    saved = dump.Saved(path)
    served = {bdf: device for bdf, device in saved.devices.items() if device["unit"]}
    wrong = [bdf for bdf, device in served.items() if saved.owners[device["group"]] != "kernel"
             or device["attached"] != "DMA" or device["domain"] not in saved.mapped]
    yield "every device belongs to the kernel, in a DMA domain", ", ".join(wrong)
    missing = [bdf for bdf in saved.devices if bdf not in drawn]
    yield "every device is drawn", ", ".join(missing) or ("" if served else "there is none")


def claims(evidence):
    """Yields (claim, why not) pairs."""
    yield from _counts(evidence)
    yield from _saved(evidence)
