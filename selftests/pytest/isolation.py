# SPDX-License-Identifier: GPL-2.0
"""The machine of the tests about isolation. It is the standard one, with firmware that reserves
memory for devices; a group of several devices; an external-facing port; another that shares its
group with what is plugged into it (an old model without access control); a device that the core
blocks during a reset; and a switch that isolates nothing: its upstream port is a
multi-function device without access control."""

from vtdlab.guest import acpi, devices

# Memory that the kernel does not use, so that tests can read it. Firmware reserves the first pages
# for devices, the rest is for the tests.
MEMORY = 0x70000000
WORDS = ("memmap=16M$0x70000000",)
DIRECT = acpi.Reserved(MEMORY, MEMORY + 0x3FFF, (devices.RESERVED.bdf,))
RELAXED = acpi.Reserved(MEMORY + 0x10000, MEMORY + 0x10FFF, ("0000:00:0c.0",))
# 00:0f.0 and 00:11.0 in ACPI's names: S, and device and function number.
EXTERNAL, SHARING = "S78", "S88"


def machine(folder):
    """Returns the devices."""
    spare = devices.disk(f"{folder}/spare.img")
    return devices.standard(folder) + [
        "-device", "pcie-pci-bridge,id=bridge,bus=pcie.0,addr=09.0",
        "-device", "edu,bus=bridge,addr=01.0,dma_mask=0xffffffffffffffff",
        "-device", "iommu-testdev,bus=bridge,addr=02.0",
        "-device", "qemu-xhci,bus=pcie.0,addr=0c.0",
        "-device", "iommu-testdev,bus=pcie.0,addr=0d.0",
        "-device", "pcie-root-port,id=resetport,bus=pcie.0,chassis=4,addr=0e.0",
        "-blockdev", f"driver=raw,node-name=spare0,file.driver=file,file.filename={spare}",
        "-device", "virtio-blk-pci,drive=spare0,bus=resetport,addr=00.0,iommu_platform=on,"
                   "disable-legacy=on,ats=on",
        "-device", "pcie-root-port,id=outside,bus=pcie.0,chassis=5,addr=0f.0",
        "-device", "iommu-testdev,bus=outside,addr=00.0",
        "-device", "pcie-root-port,id=switchport,bus=pcie.0,chassis=6,addr=10.0",
        "-device", "x3130-upstream,id=up,bus=switchport,addr=00.0,multifunction=on",
        "-device", "xio3130-downstream,id=down1,bus=up,chassis=7,addr=00.0",
        "-device", "xio3130-downstream,id=down2,bus=up,chassis=8,addr=01.0",
        "-device", "ioh3420,id=sharing,bus=pcie.0,chassis=9,addr=11.0",
        "-device", "edu,bus=sharing,addr=00.0,dma_mask=0xffffffffffffffff",
        "-device", "edu,bus=down1,addr=00.0,dma_mask=0xffffffffffffffff",
        "-device", "iommu-testdev,bus=down2,addr=00.0",
    ]


def reserving(dmar):
    """Returns a DMAR table that reserves memory for one device."""
    return {"dmar": dmar((DIRECT,))}


def tables(dmar):
    """Firmware's."""
    return {"dmar": dmar((DIRECT, RELAXED)), "external": acpi.external_ports(EXTERNAL, SHARING)}
