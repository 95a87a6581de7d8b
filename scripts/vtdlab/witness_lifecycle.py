# SPDX-License-Identifier: GPL-2.0
"""QEMU's trace of a driver that is loaded and unloaded while devices are in use.

Like witness.py: functions of the evidence that return (claim, why not) pairs.
"""

from vtdlab import devices, decoder
from vtdlab.trace import CONFIG, Trace
from vtdlab.witness import brackets

# Adopted at load: their requests pass untranslated.
ADOPTED = (devices.NVME, devices.VIRTIO)


BRIDGES = ("pcie-root-port", "x3130-upstream", "xio3130-downstream", "pcie-pci-bridge", "pxb-pcie")
COMMAND, BUS_MASTER = 4, 1 << 2


def _no_longer_masters(trace):
    """Returns bridges whose bus mastering was turned off, so that they pass no DMA from below."""
    writes = [CONFIG.match(event.text) for event in trace.named("pci_cfg_write")]
    return {found[1] for found in writes if found and found[1] in BRIDGES
            and int(found[5], 16) == COMMAND and not int(found[6], 16) & BUS_MASTER}


def late(evidence):
    """Disks in use during a load: not translated while adopted, and never refused."""
    for name, trace in brackets(evidence, "late "):
        bridges = _no_longer_masters(trace)
        yield f"{name}: every bridge lets DMA pass all the time", (
            f"the trace has writes that end it, to {sorted(bridges)}" if bridges else "")
        faults = trace.faults()
        yield f"{name}: no fault", f"the trace has {faults[0]}" if faults else ""
        walked = {event.value("sid") for event in trace.named("vtd_iotlb_page_update")}
        if name == "late found":
            yield f"{name}: {devices.NVME.name} is translated", (
                "" if devices.NVME.sid in walked else f"the trace has walks of {sorted(walked)}")
            continue
        for unit, part in evidence.by_unit(trace):
            yield f"{name}: translation of {unit} was switched on once", (
                "" if part.translation() == [True] else f"the trace has {part.translation()}")
        if name == "late adopt":
            for device in ADOPTED:
                yield f"{name}: {device.name} is not translated", (
                    "" if device.sid not in walked else "the trace has walks of it")


def detach(evidence):
    """Translation is switched off first, the queue after it, and no device is refused."""
    for name, trace in brackets(evidence, "detach "):
        faults = trace.faults()
        yield f"{name}: no fault", f"the trace has {faults[0]}" if faults else ""
        for unit, part in evidence.by_unit(trace):
            off = [event.name for event in part.named("vtd_dmar_enable", "vtd_inv_qi_enable")]
            yield f"{name}: translation of {unit} is switched off before the queue", (
                "" if part.translation() == [False]
                and off == ["vtd_dmar_enable", "vtd_inv_qi_enable"]
                else f"the trace has {off}, and translation {part.translation()}")


def suspend(evidence):
    """Translation is off before the suspend, on after the resume, and no device is refused."""
    for name, trace in brackets(evidence, "suspend"):
        faults = trace.faults()
        yield f"{name}: no fault", f"the trace has {faults[0]}" if faults else ""
        for unit, part in evidence.by_unit(trace):
            on = part.translation()
            yield f"{name}: translation of {unit} is switched off, and on again", (
                "" if on == [False, True] else f"the trace has {on}")


def crash(evidence):
    """A load that is refused in the crash kernel writes no register. Under the in-tree driver
    translation stayed on from the first kernel's load until then."""
    loads = dict(brackets(evidence, "crash refused"))
    yield "the refused load wrote no register", (
        "" if loads and not any(trace.named("vtd_reg_write") for trace in loads.values())
        else "the trace has writes of registers, or no such load")
    if "crash refused under in-tree" not in loads:
        return
    last = max(evidence.records.marks(), default=0)
    until = Trace(evidence.trace.events[:dict(evidence.trace.marks()).get(last, 0)])
    for unit, part in evidence.by_unit(until):
        yield f"translation of {unit} was switched on once, and not off in the crash", (
            "" if part.translation() == [True] else f"the trace has {part.translation()}")
    faults = until.faults()
    yield "no DMA in flight was refused", f"the trace has {faults[0]}" if faults else ""


def hotplug(evidence):
    """A removed device is removed from the unit's caches; its further requests are refused."""
    for name, trace in brackets(evidence, "hotplug "):
        if name == "hotplug removed":
            reasons = {(fault.sid, fault.reason) for fault in trace.faults()}
            wanted = {(devices.TESTDEV.sid, 2), (devices.TESTDEV.sid, 6), (devices.TESTDEV.sid, 5)}
            yield f"{name}: refused for lack of a context entry", (
                "" if (devices.TESTDEV.sid, 2) in reasons and reasons <= wanted
                else f"the trace has requesters and reasons {sorted(reasons)}")
            continue
        faults = trace.faults()
        yield f"{name}: no fault", f"the trace has {faults[0]}" if faults else ""
        withdrawn = [low for low, high in trace.descriptors()
                     if decoder.descriptor_kind(low, high) == "context-device"
                     and decoder.field(low, 32, 16) == devices.NVME.sid]
        yield f"{name}: the disk's context entry was dropped from the cache", (
            "" if withdrawn else "the trace has no such invalidation")


BY_TEST = {function.__name__.replace("_", "-"): function
           for function in (late, detach, suspend, crash, hotplug)}
