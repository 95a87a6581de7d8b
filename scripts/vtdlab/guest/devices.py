# SPDX-License-Identifier: GPL-2.0
"""The devices of the test machine, and their places.

Addresses are fixed, so that a source-id in a trace identifies a device without a
request to the guest.
"""

import dataclasses
import os
from pathlib import Path

from vtdlab.guest import acpi

DISK_BYTES = 256 << 20


@dataclasses.dataclass(frozen=True)
class Device:
    """One function: its place, and its name."""

    bdf: str
    name: str

    @property
    def sid(self):
        """Returns the source-id that the remapping unit sees: bus, device, function."""
        return source_id(self.bdf)


NVME = Device("0000:01:00.0", "NVMe disk")
NIC = Device("0000:00:03.0", "e1000e NIC")
VIRTIO = Device("0000:00:04.0", "virtio-blk disk")
EDU = Device("0000:00:05.0", "edu")
TESTDEV = Device("0000:00:06.0", "iommu-testdev")
PORT = Device("0000:00:08.0", "PCIe root port")
# In some machines: a device for which firmware may reserve memory.
RESERVED = Device("0000:00:0d.0", "iommu-testdev with reserved memory")
ALL = (NVME, NIC, VIRTIO, EDU, TESTDEV, PORT)
# Behind other units, in the machines that have them (machines.py).
FAR_NVME = Device("0000:21:00.0", "far NVMe disk")
FAR_EDU = Device("0000:22:00.0", "far edu")
FAR_TESTDEV = Device("0000:23:00.0", "far iommu-testdev")
FAR_IGB = Device("0000:24:00.0", "far igb")
GRAPHICS = Device("0000:00:02.0", "edu in the graphics slot")
# Below the second root bus, in the machine with three.
REQUESTER = Device("0000:25:00.0", "requester")
NAMED = (*ALL, FAR_NVME, FAR_EDU, FAR_TESTDEV, FAR_IGB, GRAPHICS, REQUESTER)

NVME_DEVICE = "nvme,id=nvme,drive=nvme0,serial=vtd,bus=port0,addr=00.0"

# These ports report added and removed devices themselves, not through ACPI. The test kernel is too
# small to ask firmware for their services (it would need to manage their power), so a parameter
# makes it take them.
NATIVE_PORTS = "pcie_ports=native"
NATIVE_SLOTS = ("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off")

# A guest leaves a mark in the trace by a write to this address: an unimplemented word of the test
# device's configuration space.
MARK_DEVICE, MARK_OFFSET = TESTDEV, 0xF0


def source_id(bdf):
    """Returns 0000:01:00.0 as the number 0x0100."""
    _, bus, slot = bdf.split(":")
    device, function = slot.split(".")
    return int(bus, 16) << 8 | int(device, 16) << 3 | int(function)


def name_of(sid):
    """Returns the name of the device with a source-id."""
    for device in NAMED:
        if device.sid == sid:
            return f"{device.name} ({device.bdf})"
    return f"{sid >> 8:02x}:{sid >> 3 & 31:02x}.{sid & 7}"


def disk(path):
    """Makes an empty, sparse disk image of a fixed size."""
    path = Path(path)
    with open(path, "wb") as file:
        os.truncate(file.fileno(), DISK_BYTES)
    return path


def drive(name, path):
    """Returns a drive that outlives its device, so that the device can be plugged in again."""
    return ("-blockdev", f"driver=raw,node-name={name},discard=unmap,cache.no-flush=on,"
                         f"file.driver=file,file.filename={path}")


def _slot(device):
    return f"bus=pcie.0,addr={device.bdf.split(':')[2]}"


def standard(folder):
    """Returns NVMe behind a root port, NIC, virtio-blk, edu, iommu-testdev."""
    nvme, virtio = disk(Path(folder) / "nvme.img"), disk(Path(folder) / "virtio.img")
    return [
        "-device", f"pcie-root-port,id=port0,chassis=1,{_slot(PORT)}",
        *drive("nvme0", nvme), "-device", NVME_DEVICE,
        "-netdev", "user,id=net0,ipv6=off",
        "-device", f"e1000e,id=nic,netdev=net0,mac=52:54:00:76:74:64,{_slot(NIC)}",
        *drive("virtio0", virtio),
        "-device", "virtio-blk-pci,id=virtio,drive=virtio0,iommu_platform=on,"
                   f"disable-legacy=on,{_slot(VIRTIO)}",
        "-device", f"edu,id=edu,dma_mask=0xffffffffffffffff,{_slot(EDU)}",
        "-device", f"iommu-testdev,id=testdev,{_slot(TESTDEV)}",
    ]


def few(_folder):
    """Returns only devices for DMA tests: each further device makes a load longer."""
    return [
        "-device", f"edu,id=edu,dma_mask=0xffffffffffffffff,{_slot(EDU)}",
        "-device", f"iommu-testdev,id=testdev,{_slot(TESTDEV)}",
        "-device", f"iommu-testdev,bus=pcie.0,addr={RESERVED.bdf[8:]}",
    ]


# In addition to the standard ones, in the guest that tests other places in the tree. Firmware
# chooses the bus numbers below a bridge, so tests find these devices by their place.
BRIDGE = Device("0000:00:09.0", "PCIe-to-PCI bridge")
FAR_BUS, OTHER_BUS, FREE_BUS = 0x20, 0x30, 0x40


def crowded(folder):
    """Returns the standard devices and others: more than the 48 locks lockdep records of a task."""
    return standard(folder) + [
        word for slot in range(0x10, 0x17) for function in range(8)
        for word in ("-device", f"pci-testdev,bus=pcie.0,addr={slot:x}.{function},multifunction=on")]


def topology(folder):
    """Returns the standard devices, and some behind a conventional bridge, on a second
    root bus, and on a root bus that bypasses the unit."""
    other = disk(Path(folder) / "other.img")
    return standard(folder) + [
        "-device", f"pcie-pci-bridge,id=bridge,{_slot(BRIDGE)}",
        "-device", "edu,bus=bridge,addr=01.0,dma_mask=0xffffffffffffffff",
        "-device", "iommu-testdev,bus=bridge,addr=02.0",
        "-device", f"pxb-pcie,id=other,bus_nr={OTHER_BUS},bus=pcie.0,addr=0e.0",
        "-device", "pcie-root-port,id=otherport,bus=other,chassis=2,addr=00.0",
        *drive("other0", other),
        "-device", "nvme,drive=other0,serial=vtd4,bus=otherport,addr=00.0",
        "-device", f"pxb-pcie,id=free,bus_nr={FREE_BUS},bypass_iommu=true,bus=pcie.0,addr=0b.0",
        "-device", "pcie-root-port,id=freeport,bus=free,chassis=3,addr=00.0",
        "-device", "edu,bus=freeport,addr=00.0,dma_mask=0xffffffffffffffff",
    ]


# The functions of the chipset and of standard(), and those of two root buses' bridges. A table that
# lists them leaves out the root bus that bypasses the unit.
LISTED = acpi.endpoints(*(f"0000:00:{slot}" for slot in (
    "00.0", "03.0", "04.0", "05.0", "06.0", "0b.0", "1f.0", "1f.2", "1f.3")))


def topology_tables(dmar):
    """Returns a DMAR table for topology()."""
    return {"dmar": dmar(only=(*LISTED, *acpi.endpoints("0000:00:0e.0"), *acpi.bridges(
        PORT.bdf, BRIDGE.bdf, f"0000:{OTHER_BUS:02x}:00.0")))}


def late_tables(dmar):
    """Returns a DMAR table for late()."""
    return {"dmar": dmar(only=(*LISTED, *acpi.bridges(PORT.bdf, "0000:00:0c.0")))}


def late(folder):
    """Returns the standard devices, more ports, and a disk behind no unit."""
    free = disk(Path(folder) / "free.img")
    return standard(folder) + [
        "-device", "pcie-root-port,id=switchport,chassis=4,bus=pcie.0,addr=0c.0",
        "-device", "x3130-upstream,id=upstream,bus=switchport",
        "-device", "xio3130-downstream,id=downstream,bus=upstream,chassis=5,slot=1",
        "-device", f"pxb-pcie,id=free,bus_nr={FREE_BUS},bypass_iommu=true,bus=pcie.0,addr=0b.0",
        "-device", "pcie-root-port,id=freeport,bus=free,chassis=3,addr=00.0",
        *drive("free0", free),
        "-device", "nvme,drive=free0,serial=vtd3,bus=freeport,addr=00.0",
        *NATIVE_SLOTS,
    ]
