# SPDX-License-Identifier: GPL-2.0
"""The test machine with devices for users: an igb, whose functions SR-IOV multiplies."""

from vtdlab.build import preload
from vtdlab.guest import acpi, devices

IGB_PORT = devices.Device("0000:00:0c.0", "PCIe root port of the igb")

FORGER = devices.Device("0000:00:0a.0", "requester")

VIRTUAL_FUNCTIONS = ("vfio_pci.enable_sriov=1",)
HUGE_PAGES = ("hugepagesz=2M", "hugepages=16")
# Huge pages of every size that the tests of the kernel tree map.
LARGE_PAGES = ("hugepagesz=1G", "hugepages=1", "hugepagesz=2M", "hugepages=64")


def standard(folder):
    """Returns the standard devices and the igb."""
    return devices.standard(folder) + [
        "-device", f"pcie-root-port,id=igbport,chassis=12,bus=pcie.0,addr={IGB_PORT.bdf[8:]}",
        "-netdev", "user,id=igbnet,ipv6=off",
        "-device", "igb,id=igb,netdev=igbnet,mac=52:54:00:76:74:65,bus=igbport,addr=00.0",
    ]


def interrupting(folder):
    """Returns the same, a device with several interrupts of conventional MSI, one with more
    interrupts than a table has entries at first, one behind a conventional bridge, and a requester
    for users."""
    return standard(folder) + [
        "-device", f"pcie-pci-bridge,id=bridge,bus=pcie.0,addr={devices.BRIDGE.bdf[8:]}",
        "-device", "edu,bus=bridge,addr=01.0,dma_mask=0xffffffffffffffff",
        "-device", f"{preload.REQUESTER},ats=off,pri=off,pasid-bits=0,bus=pcie.0,addr={FORGER.bdf[8:]}",
        "-device", "qemu-xhci,msi=on,msix=off,bus=pcie.0,addr=07.0",
        "-device", "nvme,serial=vtd5,msix_qsize=320,bus=pcie.0,addr=0f.0",
    ]


def hotplug(folder):
    """Returns the same, with slots that need no ACPI."""
    return [*standard(folder), *devices.NATIVE_SLOTS]


def grouped(folder):
    """Returns the same, and two devices behind a conventional bridge, with its requester ID."""
    return standard(folder) + [
        "-device", f"pcie-pci-bridge,id=bridge,bus=pcie.0,addr={devices.BRIDGE.bdf[8:]}",
        "-device", "edu,bus=bridge,addr=01.0,dma_mask=0xffffffffffffffff",
        "-device", "iommu-testdev,bus=bridge,addr=02.0",
    ]


def opted_in(dmar):
    """Returns a DMAR table whose firmware says that it blocks DMA until the kernel takes over."""
    return {"dmar": dmar(flags=acpi.PLATFORM_OPT_IN)}
