# SPDX-License-Identifier: GPL-2.0
"""Units, devices, groups and domains, read from a dump."""

import dataclasses
import re

from vtdlab import decoder

CLASSES = {
    0x0100: "SCSI", 0x0101: "IDE", 0x0104: "RAID", 0x0106: "SATA", 0x0108: "NVMe",
    0x0180: "storage", 0x0200: "Ethernet", 0x0280: "network", 0x0300: "display",
    0x0380: "display", 0x0403: "audio", 0x0500: "memory", 0x0600: "host bridge",
    0x0601: "ISA bridge", 0x0604: "PCI bridge", 0x0700: "serial", 0x0780: "communication",
    0x0880: "system", 0x0c03: "USB", 0x0c05: "SMBus", 0x1180: "signal", 0x1200: "accelerator",
}
BDF = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
ROOT = re.compile(r"pci([0-9a-f]{4,}:[0-9a-f]{2})$")
ENTRY = re.compile(r"([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\t\S+\t(0x[0-9a-f]{16}):(0x[0-9a-f]{16})\t")
INTERRUPT = re.compile(r" *(\d+) (" + BDF.pattern + r") ")
OWNERS = ("kernel", "driver", "user", "nobody", "unknown")


@dataclasses.dataclass
class Device:
    """One PCI function."""

    bdf: str
    kind: str = ""          # its kind, in a word
    driver: str = ""        # empty without one
    group: str = ""         # its number; empty without one
    root: str = ""          # its root bus, such as 0000:00
    above: tuple = ()       # the bridges above it, topmost first
    unit: str = ""
    attached: str = ""      # DMA, unmanaged, identity, blocked, untranslated
    domain: str = ""        # key of its Domain; empty without one
    domain_id: str = ""     # the domain's id on its unit
    faults: int = None      # None if they are not counted
    entries: list = dataclasses.field(default_factory=list)     # of the interrupt table


@dataclasses.dataclass
class Group:
    """Devices that cannot be isolated from each other."""

    number: str
    type: str = ""
    owner: str = "unknown"  # one of OWNERS
    via: str = ""           # for a user's: iommufd
    devices: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Domain:
    """What a device can be attached to, including identity and blocked."""

    key: str
    name: str               # domain #5 (its number), domain-id 5 (a unit's), identity
    kind: str = ""          # DMA, unmanaged; empty if the name says it
    ids: str = ""           # dmar0:5
    width: str = ""
    lazy: bool = False
    mapped: int = None      # bytes; None if unknown
    tables: int = None
    large: int = 0          # pages of 2 MiB and 1 GiB
    maps: int = None
    groups: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Unit:
    """One remapping unit."""

    name: str
    facts: dict             # the files of sysfs
    condition: str = ""
    interrupts: str = ""    # whether they are remapped; empty if that is unknown
    counts: dict = dataclasses.field(default_factory=dict)
    waits: dict = dataclasses.field(default_factory=dict)
    devices: list = dataclasses.field(default_factory=list)

    def number(self, name, base=10):
        """Returns a value of sysfs as a number; 0 if it is none."""
        try:
            return int(self.facts.get(name, "0"), base)
        except ValueError:
            return 0

    def abilities(self):
        """Returns (name, words) for the fields of its capability registers."""
        return dict(decoder.capabilities(self.number("cap", 16), self.number("ecap", 16)))


class Machine:
    """The whole machine."""

    def __init__(self, dump):
        self.dump, self.problems = dump, dump.problems
        self.kernel, self.driver = dump.kernel, dump.driver
        self.devices = {device.bdf: device for device in _devices(dump)}
        self.units = [self._unit(name) for name in dump.names("units")]
        self.groups, self.domains = {}, {}
        if dump.lines("vtd/groups"):
            self._ours()
        else:
            self._in_tree()
        self._gather()
        self.elsewhere = [device for device in self.devices.values() if not device.unit]

    def _unit(self, name):
        facts = {file.rsplit("/", 1)[1]: text.strip() for file, text in self.dump.files.items()
                 if file.startswith(f"units/{name}/")}
        unit = Unit(name, facts)
        first = next(iter(self.dump.lines(f"vtd/{name}/registers")), "")
        unit.condition = first.partition(", ")[2]
        remapping, *entries = self.dump.lines(f"vtd/{name}/interrupts") or [""]
        unit.interrupts = remapping.partition(": ")[2]
        for found in filter(None, map(INTERRUPT.match, entries)):
            self.devices.setdefault(found[2], Device(found[2])).entries.append(int(found[1]))
        if self.driver == "vtd":
            unit.counts = self.dump.counts(f"vtd/{name}/statistics")
            unit.waits = self.dump.counts(f"vtd/{name}/waits")
        for bdf in facts.pop("devices", "").split():
            if BDF.fullmatch(bdf):
                self.devices.setdefault(bdf, Device(bdf)).unit = name
        return unit

    def _ours(self):
        for line in self.dump.records("vtd/domains", ("domain", "units", "mapped-bytes",
                                                      "unmapped-bytes")):
            number = line["domain"].removeprefix("#")
            domain = Domain(number, f"domain #{number}", lazy=line.get("lazy") == "yes",
                            width=line.get("width", ""), tables=_number(line.get("tables")),
                            maps=_number(line.get("maps")))
            domain.ids = ", ".join(unit.rpartition(":")[0] for unit in line["units"].split(",")
                                   if unit.count(":") == 2)
            mapped, unmapped = _number(line["mapped-bytes"]), _number(line["unmapped-bytes"])
            if mapped is not None and unmapped is not None:
                domain.mapped = mapped - unmapped
            domain.large = sum(_number(line.get(f"leaves-{size}")) or 0 for size in ("2m", "1g"))
            self.domains[domain.key] = domain
        for line in self.dump.records("vtd/groups", ("group", "owner", "device", "attached")):
            device = self.devices.setdefault(line["device"], Device(line["device"]))
            device.unit = line.get("unit", "").replace("-", "") or device.unit
            device.attached, device.faults = line["attached"], _number(line.get("faults"))
            device.driver = line.get("driver", "-").strip("-")
            device.group = line["group"].strip("-")
            device.domain = line.get("domain", "-").strip("-").removeprefix("#")
            device.domain_id = line.get("domain-id", "-").strip("-")
            if device.group:
                group = self.groups.setdefault(device.group, Group(device.group))
                group.via = "iommufd" if line["owner"] == "iommufd" else ""
                owner = "user" if group.via else line["owner"]
                group.owner = owner if owner in OWNERS else "unknown"

    def _in_tree(self):
        """Reads what the in-tree driver shows: groups from sysfs, domains from context entries."""
        entries = {found[1]: (int(found[2], 16), int(found[3], 16)) for line in
                   self.dump.lines("intel/dmar_translation_struct") if (found := ENTRY.match(line))}
        for device in self.devices.values():
            if not device.group:
                continue
            group = self.groups.setdefault(device.group, Group(device.group))
            if device.driver.startswith("vfio"):
                group.owner = "user"
            elif group.owner == "unknown" and device.unit:
                group.owner = "kernel"
            high, low = entries.get(device.bdf.split(":", 1)[1], (0, 0))
            if not device.unit or not low & 1:
                continue
            if low >> 2 & 3 == 2:
                device.attached = "identity"
                continue
            identity = f"{device.unit}:{high >> 8 & 0xffff}"
            device.domain, device.attached = identity, "attached"
            self.domains.setdefault(identity, Domain(
                identity, f"domain-id {high >> 8 & 0xffff}", ids=identity,
                width=str(30 + 9 * (high & 7))))

    def _gather(self):
        types = {line["group"]: line["type"] for line in
                 self.dump.records("types", ("group", "type"))}
        by_name = {unit.name: unit for unit in self.units}
        for device in sorted(self.devices.values(), key=place):
            if device.unit in by_name:
                by_name[device.unit].devices.append(device)
            group = self.groups.get(device.group)
            if group:
                group.type = types.get(device.group, "")
                group.devices.append(device)
            if not device.domain and device.attached in ("identity", "blocked", "untranslated"):
                device.domain = device.attached
                self.domains.setdefault(device.domain, Domain(device.domain, device.attached))
            domain = self.domains.get(device.domain)
            if domain:
                if device.attached in ("DMA", "unmanaged"):
                    domain.kind = device.attached
                if group and group not in domain.groups:
                    domain.groups.append(group)


def place(device):
    """Sorts devices in the order of the tree: each below its bridge."""
    return (device.root, *device.above, device.bdf)


def _number(text):
    return int(text) if text and text.isdigit() else None


def _devices(dump):
    for line in dump.records("pci", ("device", "class", "driver", "group", "path")):
        if not BDF.fullmatch(line["device"]):
            dump.problems.append(f"{line['device'][:40]!r} in pci is no device")
            continue
        try:
            code = int(line["class"], 16)
        except ValueError:
            code = 0
        parts = line["path"].split("/")
        roots = [found[1] for part in parts if (found := ROOT.match(part))]
        identity = f"{line.get('vendor', '?')[2:]}:{line.get('id', '?')[2:]}"
        yield Device(line["device"], CLASSES.get(code >> 8, identity),
                     line["driver"].strip("-"), line["group"].strip("-"), (roots or [""])[0],
                     tuple(part for part in parts[:-1] if BDF.fullmatch(part)))
