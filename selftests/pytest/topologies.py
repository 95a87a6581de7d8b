# SPDX-License-Identifier: GPL-2.0
"""Machines whose functions are isolated from each other in every way that QEMU has.

Each entry is a list of words for -device. No device in them does DMA; only its place in the tree
matters.
"""

# Root ports have access control. The second one here has the first function of a device with two
# ports below it, each with a device of two functions behind it.
PORTS = (
    "pcie-root-port,id=rp1,chassis=1,addr=08.0",
    "e1000e,bus=rp1,addr=00.0",
    "pcie-root-port,id=rp2,chassis=2,addr=09.0,multifunction=on",
    "pcie-root-port,id=rp3,chassis=3,addr=09.1",
    "e1000e,bus=rp2,addr=00.0,multifunction=on",
    "e1000e,bus=rp2,addr=00.1",
    "e1000e,bus=rp3,addr=00.0",
    "ioh3420,id=rp4,chassis=4,addr=0a.0",
    "nvme,serial=a,bus=rp4,addr=00.0",
    # On the root bus: a device with one function, one with two, a conventional one with two.
    "e1000e,addr=03.0",
    "e1000e,addr=04.0,multifunction=on",
    "e1000e,addr=04.3",
    "edu,addr=05.0,multifunction=on",
    "edu,addr=05.1",
)

# A switch, whose ports have no access control in QEMU, and a separate root bus.
SWITCH = (
    "pcie-root-port,id=rp1,chassis=1,addr=08.0",
    "x3130-upstream,id=up,bus=rp1,addr=00.0",
    "xio3130-downstream,id=down1,chassis=11,bus=up,addr=00.0",
    "xio3130-downstream,id=down2,chassis=12,bus=up,addr=01.0",
    "e1000e,bus=down1,addr=00.0",
    "nvme,serial=a,bus=down2,addr=00.0",
    "pcie-root-port,id=rp2,chassis=2,addr=09.0",
    "e1000e,bus=rp2,addr=00.0",
    "pxb-pcie,id=far,bus_nr=64,bus=pcie.0,addr=0a.0",
    "pcie-root-port,id=farport,bus=far,chassis=3,addr=00.0",
    "pcie-root-port,id=farport2,bus=far,chassis=4,addr=01.0",
    "e1000e,bus=farport,addr=00.0",
    "nvme,serial=b,bus=farport2,addr=00.0",
    "pxb-pcie,id=free,bus_nr=128,bypass_iommu=true,bus=pcie.0,addr=0b.0",
    "pcie-root-port,id=freeport,bus=free,chassis=5,addr=00.0",
    "e1000e,bus=freeport,addr=00.0",
)

# Conventional buses: on the root bus, below a root port, below another bridge.
BRIDGES = (
    "pcie-pci-bridge,id=pp1,bus=pcie.0,addr=08.0",
    "edu,bus=pp1,addr=01.0",
    "iommu-testdev,bus=pp1,addr=02.0",
    "pci-bridge,id=pb1,chassis_nr=1,bus=pp1,addr=03.0",
    "edu,bus=pb1,addr=01.0",
    "pcie-root-port,id=rp1,chassis=2,addr=09.0",
    "pcie-pci-bridge,id=pp2,bus=rp1,addr=00.0",
    "edu,bus=pp2,addr=01.0",
    "i82801b11-bridge,id=dmi,bus=pcie.0,addr=0a.0",
    "edu,bus=dmi,addr=01.0",
    "pcie-root-port,id=rp2,chassis=3,addr=0b.0",
    "igb,bus=rp2,addr=00.0",
    "igb,addr=0c.0",
    "iommu-testdev,addr=06.0",
)

ALL = {"ports": PORTS, "switch": SWITCH, "bridges": BRIDGES}


def arguments(name):
    """Returns the words for QEMU."""
    return [word for device in ALL[name]
            for word in ("-device", device if ",bus=" in device else f"{device},bus=pcie.0")]
