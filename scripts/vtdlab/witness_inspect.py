# SPDX-License-Identifier: GPL-2.0
"""Compares QEMU's trace and the dump with selftests/inspect.sh."""

from vtdlab import inspection, inspecttext
from vtdlab.errors import LabError
from vtdlab.inspectdump import Dump
from vtdlab.inspectmodel import Machine
from vtdlab.witness import brackets

KINDS = {"flush-context": ("context-device", "context-domain", "context-global"),
         "flush-page": ("iotlb-pages",), "flush-domain": ("iotlb-domain",),
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
        path = inspection.receive(evidence.records, evidence.outcome.console.parent)
        if path is None:
            yield "the dump has arrived", "the guest sent none"
            return
        machine = Machine(Dump.read(path))
    except LabError as err:
        yield "the dump can be read", str(err)
        return
    yield "all of the dump can be read", "; ".join(machine.problems)
    wrong = [device.bdf for unit in machine.units for device in unit.devices
             if machine.groups[device.group].owner != "kernel" or device.attached != "DMA"
             or device.domain not in machine.domains]
    yield "every device belongs to the kernel, in a DMA domain", ", ".join(wrong)
    drawn = "\n".join(inspecttext.draw(machine))
    missing = [bdf for bdf in machine.devices if bdf not in drawn]
    yield "every device is drawn", ", ".join(missing) or ("" if machine.devices else "there is none")


def inspect(evidence):
    """Both witnesses."""
    yield from _counts(evidence)
    yield from _saved(evidence)


BY_TEST = {"inspect": inspect}
