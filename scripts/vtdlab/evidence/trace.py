# SPDX-License-Identifier: GPL-2.0
"""QEMU's trace of its remapping unit, in words.

Every line of the trace becomes an Event: a name and its numbers. The Trace answers the
questions of runs and tests: which faults did the unit raise, which descriptors did it
execute, what is between two marks. On a machine with several units, QEMU's lines name none;
those of selftests/qemu between them say whose the following lines are.

Run as a program it rewrites a trace for reading:
    python3 -m vtdlab.evidence.trace out/run/qemu-trace.log
"""

import dataclasses
import re
import sys
from collections import Counter

from vtdlab.evidence import decoder
from vtdlab.guest import devices

LINE = re.compile(r"^(?:\d+@\d+\.\d+:)?([a-z]+(?:_[a-z0-9]+)+) ?(.*)$")
NUMBER = re.compile(r"([a-zA-Z_]+) (0x[0-9a-fA-F]+|-?\d+)(?![.:\w])")
UNIT = re.compile(r"^0x([0-9a-f]+) (\w+)")
# What a unit says of itself before it works; its other lines come while another may work.
WORKS = ("write", "translates")
CONFIG = re.compile(r"^(\S+) (\w+):(\w+)\.(\w) @0x(\w+) <- 0x(\w+)")


@dataclasses.dataclass(frozen=True)
class Event:
    """One line of the trace."""

    number: int             # its line in the file, from 1
    name: str               # such as vtd_dmar_fault
    text: str               # the text after the name
    unit: int = None        # the address of the unit, if the trace names units

    def value(self, word):
        """Returns the number after `word`; raises KeyError if the line has none."""
        for found, value in NUMBER.findall(self.text):
            if found == word:
                return int(value, 0)
        raise KeyError(f"line {self.number} of the trace ({self.name} {self.text}) has no {word!r}")


@dataclasses.dataclass(frozen=True)
class Fault:
    """A refused translation, as QEMU's unit traced it."""

    sid: int
    reason: int
    address: int
    write: bool
    unit: int = None        # the address of the unit, if the trace names units

    def __str__(self):
        kind = "write" if self.write else "read"
        return (f"{kind} by {devices.name_of(self.sid)} to {self.address:#x} refused: "
                f"{decoder.fault_reason(self.reason)}")


class Trace:
    """The events of one run, or of a part of it."""

    def __init__(self, events):
        self.events = list(events)

    @classmethod
    def read(cls, path):
        """Parses a file; lines of other tools are ignored."""
        with open(path, encoding="utf-8", errors="replace") as file:
            return cls.of_lines(file)

    @classmethod
    def of_lines(cls, lines):
        """Parses lines."""
        unit, events = None, []
        for number, line in enumerate(lines, 1):
            event = parse(number, line, unit)
            if event and event.name == "vtd_unit":
                base, says = UNIT.match(event.text).groups()
                event = dataclasses.replace(event, unit=int(base, 16))
                unit = event.unit if says in WORKS else unit
            if event:
                events.append(event)
        return cls(events)

    def units(self):
        """Returns the addresses of the units that the trace names."""
        return {event.unit for event in self.events if event.unit is not None}

    def of_unit(self, unit):
        """Returns what one unit did, and all marks."""
        return Trace(event for event in self.events
                     if event.unit == unit or event.name == "pci_cfg_write")

    def named(self, *names):
        """Returns the events of these names."""
        return [event for event in self.events if event.name in names]

    def faults(self):
        """Returns every fault, in order."""
        return [Fault(e.value("sid"), e.value("fault"), e.value("addr"), bool(e.value("write")),
                      e.unit) for e in self.named("vtd_dmar_fault")]

    def descriptors(self):
        """Returns (low, high) of every invalidation descriptor that the unit executed."""
        return [(e.value("low"), e.value("high")) for e in self.named("vtd_inv_desc")]

    def descriptor_kinds(self):
        """Returns the number of descriptors of each kind."""
        return Counter(decoder.descriptor_kind(low, high) for low, high in self.descriptors())

    def translation(self):
        """Returns how translation was switched: True for on, in order."""
        return [bool(e.value("enable")) for e in self.named("vtd_dmar_enable")]

    def marks(self):
        """Returns (mark, position in `events`) of every mark that the guest left."""
        return [(value, position) for position, event in enumerate(self.events)
                if (value := mark_of(event)) is not None]

    def between(self, first, last):
        """Returns the part after mark `first` and before mark `last`.

        Without `last` in the trace it extends to the end, as after a guest that crashed; raises
        LookupError without `first`.
        """
        places = dict(self.marks())
        if first not in places:
            raise LookupError(f"the trace has no mark {first}")
        return Trace(self.events[places[first] + 1:places.get(last)])


def mark_of(event):
    """Returns the number of a mark, or None for any other event."""
    if event.name != "pci_cfg_write":
        return None
    found = CONFIG.match(event.text)
    if not found:
        return None
    _, bus, slot, function, offset, value = found.groups()
    sid = int(bus, 16) << 8 | int(slot, 16) << 3 | int(function, 16)
    if (sid, int(offset, 16)) != (devices.MARK_DEVICE.sid, devices.MARK_OFFSET):
        return None
    return int(value, 16)


def parse(number, line, unit=None):
    """Returns one line as an Event, or None."""
    found = LINE.match(line.rstrip("\n"))
    return Event(number, found[1], found[2], unit) if found else None


def words(event):
    """Returns the meaning of an event, or None if its own text says it."""
    if event.name == "vtd_dmar_fault":
        return str(Trace([event]).faults()[0])
    if event.name == "vtd_inv_desc":
        return decoder.descriptor(event.value("low"), event.value("high"))
    if event.name == "vtd_reg_write":
        return decoder.register_write(event.value("addr"), event.value("size"), event.value("value"))
    if event.name == "vtd_dmar_enable":
        return "translation on" if event.value("enable") else "translation off"
    if (mark := mark_of(event)) is not None:
        return f"---- mark {mark} ----"
    return None


def main(argv):
    """Prints a trace with the meaning of each line."""
    if len(argv) != 2:
        print("usage: python3 -m vtdlab.evidence.trace TRACE", file=sys.stderr)
        return 2
    for event in Trace.read(argv[1]).events:
        if event.name == "pci_cfg_write" and mark_of(event) is None:
            continue
        meaning = words(event)
        print(f"{event.number:7} {event.name:<26} {meaning or event.text}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
