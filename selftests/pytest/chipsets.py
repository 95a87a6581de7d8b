# SPDX-License-Identifier: GPL-2.0
"""The machines of the tests about chipsets: firmware that lists units at whose addresses there is
no device."""

from vtdlab.guest import acpi, devices

ABSENT = "0000:00:1e.0"
# On a root bus whose requests QEMU's unit does not see.
FREE = f"0000:{devices.FREE_BUS + 1:02x}:00.0"


def machine(folder):
    """Returns the standard devices, and an edu on another root bus."""
    return devices.standard(folder) + [
        "-device", f"pxb-pcie,id=free,bus_nr={devices.FREE_BUS},bypass_iommu=true,bus=pcie.0,"
                   "addr=0b.0",
        "-device", "pcie-root-port,id=freeport,bus=free,chassis=3,addr=00.0",
        "-device", "edu,bus=freeport,addr=00.0,dma_mask=0xffffffffffffffff",
    ]


def several(dmar):
    """Returns a table with units for a missing device and that edu, and QEMU's for the rest."""
    return {"dmar": dmar(others=(
        acpi.Unit(acpi.UNIT_BASE + 0x2000, acpi.endpoints(ABSENT)),
        acpi.Unit(acpi.UNIT_BASE + 0x3000, acpi.endpoints(FREE))))}


def alone(_dmar):
    """Returns a table with QEMU's unit for iommu-testdev alone, and none for the rest, nor for the
    IO-APIC."""
    return {"dmar": acpi.dmar(flags=acpi.INTERRUPT_REMAPPING, units=(
        acpi.Unit(acpi.UNIT_BASE, acpi.endpoints(devices.TESTDEV.bdf)),))}
