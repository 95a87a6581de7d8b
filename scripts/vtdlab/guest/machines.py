# SPDX-License-Identifier: GPL-2.0
"""The remapping units of the machines: one, or several as real machines have them.

QEMU's intel-iommu is the unit with everything that no other unit has. Firmware lists that
unit last, so the driver calls it by the last number.
"""

import dataclasses
from pathlib import Path

from vtdlab.build import preload
from vtdlab.errors import LabError, is_none_of
from vtdlab.guest import acpi, devices


@dataclasses.dataclass(frozen=True)
class Unit:
    """A unit in addition to the first."""

    name: str
    base: int
    scope: str              # QEMU's words for what it is for
    options: str
    firmware: tuple         # firmware's words for the same, as scopes

    def words(self):
        """Returns the words for QEMU."""
        options = f",{self.options}" if self.options else ""
        return ["-device", f"{preload.DEVICE},id={self.name},scope={self.scope},"
                           f"base={self.base:#x}{options}"]


@dataclasses.dataclass(frozen=True)
class Layout:
    """The units of a machine, what they are for, and the devices that this needs."""

    name: str
    text: str
    iommu: str = ""         # options of the first unit
    units: tuple = ()       # the others
    buses: tuple = ()       # words for root buses
    bridges: tuple = ()     # their functions on the first root bus
    below: object = None    # (folder) -> words for the devices of the other units
    tested: tuple = ()      # those of them that do DMA
    structures: tuple = ()  # of the table, in addition to units and reserved regions
    nodes: bool = False     # firmware says which unit is near to which memory
    firmware: bytes = b""   # the table, if it is that of another machine
    notes: tuple = ()       # sentences about it

    def devices(self, folder, usual=devices.standard):
        """Returns the words for QEMU, units before all devices: a device looks for its unit when
        it is created."""
        units = [word for unit in self.units for word in unit.words()]
        return [*self.buses, *units, *usual(folder), *(self.below(folder) if self.below else ())]

    def dmar(self, reserved=(), flags=0, others=(), only=()):
        """Returns firmware's table of the units; `others` are in it, but not in the machine. The
        first unit has what the others do not have, or else `only` these scopes."""
        rest = (acpi.Scope(acpi.IOAPIC, "0000:ff:00.0"), *only,
                *(acpi.endpoints(*self.bridges) if only else ()))
        units = [*others, *(acpi.Unit(unit.base, unit.firmware) for unit in self.units),
                 acpi.Unit(acpi.UNIT_BASE, rest, not only)]
        if self.nodes:
            units = [dataclasses.replace(unit, proximity=0) for unit in units]
        return acpi.dmar(reserved, flags=flags | acpi.INTERRUPT_REMAPPING, units=units,
                         more=self.structures)

    def image(self, image, tables, target):
        """Returns the first root `image` with firmware's tables in front of it: `tables` of
        dmar(), or None for those that the machine needs. A new one is written to `target`."""
        if self.firmware:
            return acpi.put_before(image, {"dmar": self.firmware}, target)
        if not tables and not self.units:
            return image
        return acpi.put_before(image, tables(self.dmar) if tables else {"dmar": self.dmar()}, target)

    def options(self, *more):
        """Returns the options of the first unit, with further ones."""
        return ",".join(filter(None, (self.iommu, *more)))

    def append(self):
        """Returns words of the kernel's command line, by which the guest's jobs know it. They come
        before those of the boot, and the first of a name counts."""
        return (f"guest.machine={self.name}", *(f"guest.disk={disk.bdf}" for disk in self.disks),
                *["guest.snoop=1"] * ("snoop-control=on" in self.iommu))

    @property
    def disks(self):
        """The disks behind the other units."""
        return [device for device in self.tested if "disk" in device.name]


# One unit for everything.
STANDARD = Layout("standard", "intel-iommu")


# A server: a unit for each root bus. Devices below the second one are behind root ports.
FAR_PORTS = tuple(f"0000:{devices.FAR_BUS:02x}:{slot:02x}.0" for slot in range(4))
FAR_NVME_DEVICE = "nvme,id=farnvme,drive=far0,serial=vtd2,bus=farport0,addr=00.0"


def _far(folder):
    ports = [word for number in range(len(FAR_PORTS)) for word in (
        "-device", f"pcie-root-port,id=farport{number},bus=far,chassis={20 + number},"
                   f"addr={number:02x}.0")]
    return [*ports, *devices.drive("far0", devices.disk(Path(folder) / "far.img")),
            "-device", FAR_NVME_DEVICE,
            "-device", "edu,bus=farport1,addr=00.0,dma_mask=0xffffffffffffffff",
            "-device", "iommu-testdev,bus=farport2,addr=00.0",
            "-netdev", "user,id=farnet,ipv6=off",
            "-device", "igb,id=farigb,netdev=farnet,mac=52:54:00:76:74:66,bus=farport3,addr=00.0"]


SERVER = Layout(
    "server", "a remapping unit for each of two root buses", "snoop-control=on",
    units=(Unit("farunit", acpi.UNIT_BASE + 0x1000, "far", "aw-bits=39,caching-mode=on",
                acpi.bridges(*FAR_PORTS)),),
    buses=("-device", f"pxb-pcie,id=far,bus_nr={devices.FAR_BUS},bus=pcie.0,addr=1c.0"),
    bridges=("0000:00:1c.0",), below=_far,
    tested=(devices.FAR_NVME, devices.FAR_EDU, devices.FAR_TESTDEV, devices.FAR_IGB),
    structures=(acpi.root_ports_with_ats(*FAR_PORTS),
                acpi.integrated_with_ats(devices.VIRTIO.bdf)),
    nodes=True)

# The same with a third root bus, whose unit has the capabilities of the first, and caching mode: one
# domain can serve both, whichever it is allocated for. On the second root bus there is a requester,
# whose unit could serve translation requests. Slots report hot-plug events themselves.
TWIN_BUS = 0x30
TWIN_PORT = f"0000:{TWIN_BUS:02x}:00.0"
# One domain must not have the same domain-id on both units by chance, so the units serve different
# numbers of devices: an empty slot makes the difference.
REQUESTER_PORT, EMPTY_PORT = (f"0000:{devices.FAR_BUS:02x}:{slot:02x}.0" for slot in (4, 5))


def _far_and_twin(folder):
    return [*_far(folder),
            "-device", "pcie-root-port,id=twinport,bus=twin,chassis=30,addr=00.0",
            "-device", "iommu-testdev,bus=twinport,addr=00.0",
            "-device", "pcie-root-port,id=farport4,bus=far,chassis=24,addr=04.0",
            "-device", f"{preload.REQUESTER},bus=farport4,addr=00.0",
            "-device", "pcie-root-port,id=farport5,bus=far,chassis=25,addr=05.0",
            *devices.NATIVE_SLOTS]


THREE_BUSES = dataclasses.replace(
    SERVER, name="three-buses", text="a remapping unit for each of three root buses",
    units=(Unit("farunit", acpi.UNIT_BASE + 0x1000, "far",
                "aw-bits=39,caching-mode=on,device-iotlb=on",
                acpi.bridges(*FAR_PORTS, REQUESTER_PORT, EMPTY_PORT)),
           Unit("twinunit", acpi.UNIT_BASE + 0x2000, "twin", "snoop-control=on,caching-mode=on",
                acpi.bridges(TWIN_PORT))),
    buses=(*SERVER.buses, "-device", f"pxb-pcie,id=twin,bus_nr={TWIN_BUS},bus=pcie.0,addr=1d.0"),
    bridges=(*SERVER.bridges, "0000:00:1d.0"), below=_far_and_twin,
    structures=(acpi.root_ports_with_ats(*FAR_PORTS, REQUESTER_PORT, TWIN_PORT),
                acpi.integrated_with_ats(devices.VIRTIO.bdf)))

# A client: a unit for the slot of the graphics device only. It has fewer capabilities than the
# other: without page-selective invalidation (CAP.PSI) it drops a whole domain from its caches.
PSI = 1 << 39

CLIENT = Layout(
    "client", "a remapping unit for graphics and another for the rest", "snoop-control=on",
    units=(Unit("graphicsunit", acpi.UNIT_BASE + 0x1000, "02.0", f"aw-bits=39,cap-removed={PSI:#x}",
                acpi.endpoints(devices.GRAPHICS.bdf)),),
    below=lambda _folder: ["-device", "edu,bus=pcie.0,addr=02.0,dma_mask=0xffffffffffffffff"],
    tested=(devices.GRAPHICS,))

ALL = {layout.name: layout for layout in (STANDARD, SERVER, CLIENT)}


def get(name, known=tuple(ALL)):
    """Returns a machine by its name."""
    if name not in known:
        raise LabError(is_none_of("machine", name, known) + ".")
    return ALL[name]


def several(name=None):
    """Returns the names of the machines with several units, or only `name`."""
    found = [layout.name for layout in ALL.values() if layout.units]
    return [get(name, found).name] if name else found
