# SPDX-License-Identifier: GPL-2.0
"""The machine of the tests about device-TLBs. It is the standard one with requesters: an integrated
one that firmware lists as one that needs its device-TLB (SATC), one below each of two root ports that
firmware lists (ATSR), and one below a third, which faces outside. A disk with ATS can be
unplugged."""

import dataclasses

from vtdlab.build import preload
from vtdlab.guest import acpi, devices, machines

INTEGRATED = "0000:00:0c.0"
PORTS = ("0000:00:0e.0", "0000:00:10.0", "0000:00:11.0")
OUTSIDE = "0000:00:0f.0"
EXTERNAL = "S78"        # OUTSIDE in ACPI's names

MACHINE = dataclasses.replace(
    machines.STANDARD, structures=(acpi.root_ports_with_ats(*PORTS, OUTSIDE),
                                   acpi.integrated_with_ats(INTEGRATED, required=True)))


def _port(name, bdf, chassis):
    return ["-device", f"pcie-root-port,id={name},bus=pcie.0,chassis={chassis},addr={bdf[8:]}"]


def machine(folder):
    """Returns the devices."""
    disk = devices.disk(f"{folder}/ats.img")
    return devices.standard(folder) + [
        "-device", f"{preload.REQUESTER},bus=pcie.0,addr={INTEGRATED[8:]}",
        *_port("one", PORTS[0], 11), "-device", f"{preload.REQUESTER},bus=one,addr=00.0",
        *_port("two", PORTS[1], 12), "-device", f"{preload.REQUESTER},bus=two,addr=00.0",
        *_port("outside", OUTSIDE, 13), "-device", f"{preload.REQUESTER},bus=outside,addr=00.0",
        *_port("three", PORTS[2], 14), *devices.drive("ats0", disk),
        "-device", "virtio-blk-pci,id=atsdisk,drive=ats0,bus=three,addr=00.0,iommu_platform=on,"
                   "disable-legacy=on,ats=on",
        *devices.NATIVE_SLOTS,
    ]


def tables(dmar):
    """Firmware's."""
    return {"dmar": dmar(), "external": acpi.external_ports(EXTERNAL)}
