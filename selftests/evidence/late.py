# SPDX-License-Identifier: GPL-2.0
"""Disks in use during a load: not translated while adopted, and never refused."""

from evidence.common import brackets
from vtdlab.evidence.trace import CONFIG
from vtdlab.guest import devices

# Adopted at load: their requests pass untranslated.
ADOPTED = (devices.NVME, devices.VIRTIO)
BRIDGES = ("pcie-root-port", "x3130-upstream", "xio3130-downstream", "pcie-pci-bridge", "pxb-pcie")
COMMAND, BUS_MASTER = 4, 1 << 2


def _no_longer_masters(trace):
    """Returns bridges whose bus mastering was turned off, so that they pass no DMA from below."""
    writes = [CONFIG.match(event.text) for event in trace.named("pci_cfg_write")]
    return {found[1] for found in writes if found and found[1] in BRIDGES
            and int(found[5], 16) == COMMAND and not int(found[6], 16) & BUS_MASTER}


def claims(evidence):
    """Yields (claim, why not) pairs."""
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
