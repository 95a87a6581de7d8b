# SPDX-License-Identifier: GPL-2.0
"""QEMU's trace of its remapping unit, in words.

Every line of the trace becomes an Event: a name and its numbers. On top of
them stand the questions that runs and tests ask: which faults did the unit
raise, which descriptors did it take, what lies between two marks.

Run as a program it rewrites a trace for reading:
    python3 -m vtdlab.trace out/run/qemu-trace.log
"""

import dataclasses
import re
import sys
from collections import Counter

from vtdlab import devices, decoder

LINE = re.compile(r"^(?:\d+@\d+\.\d+:)?([a-z]+(?:_[a-z0-9]+)+) ?(.*)$")
NUMBER = re.compile(r"([a-zA-Z_]+) (0x[0-9a-fA-F]+|-?\d+)(?![.:\w])")
CONFIG = re.compile(r"^(\S+) (\w+):(\w+)\.(\w) @0x(\w+) <- 0x(\w+)")


@dataclasses.dataclass(frozen=True)
class Event:
    """One line of the trace."""

    number: int             # its line in the file, from 1
    name: str               # such as vtd_dmar_fault
    text: str               # what follows the name

    def value(self, word):
        """The number after `word`; KeyError where the line has none."""
        for found, value in NUMBER.findall(self.text):
            if found == word:
                return int(value, 0)
        raise KeyError(f"line {self.number} of the trace ({self.name} {self.text}) has no {word!r}")


@dataclasses.dataclass(frozen=True)
class Fault:
    """A refused translation, as the unit itself saw it."""

    sid: int
    reason: int
    address: int
    write: bool

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
        """Parse a file; lines of other tools are passed over."""
        with open(path, encoding="utf-8", errors="replace") as file:
            return cls(filter(None, (parse(number, line) for number, line in enumerate(file, 1))))

    def named(self, *names):
        """The events of these names."""
        return [event for event in self.events if event.name in names]

    def faults(self):
        """Every fault, in order."""
        return [Fault(e.value("sid"), e.value("fault"), e.value("addr"), bool(e.value("write")))
                for e in self.named("vtd_dmar_fault")]

    def descriptors(self):
        """(low, high) of every invalidation descriptor that the unit took."""
        return [(e.value("low"), e.value("high")) for e in self.named("vtd_inv_desc")]

    def descriptor_kinds(self):
        """How many descriptors of each kind."""
        return Counter(decoder.descriptor_kind(low, high) for low, high in self.descriptors())

    def translation(self):
        """The switchings of translation: True for on, in order."""
        return [bool(e.value("enable")) for e in self.named("vtd_dmar_enable")]

    def marks(self):
        """(mark, position in `events`) of every mark that the guest left."""
        return [(value, position) for position, event in enumerate(self.events)
                if (value := mark_of(event)) is not None]

    def between(self, first, last):
        """The part after mark `first` and before mark `last`.

        Without `last` in the trace it goes to the end, as after a guest that
        died; LookupError without `first`.
        """
        places = dict(self.marks())
        if first not in places:
            raise LookupError(f"the trace has no mark {first}")
        return Trace(self.events[places[first] + 1:places.get(last)])


def mark_of(event):
    """The number of a mark, or None for any other event."""
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


def parse(number, line):
    """One line as an Event, or None."""
    found = LINE.match(line.rstrip("\n"))
    return Event(number, found[1], found[2]) if found else None


def words(event):
    """What an event means, or None where its own text says it."""
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
    """Print a trace with its meaning beside each line."""
    if len(argv) != 2:
        print("usage: python3 -m vtdlab.trace TRACE", file=sys.stderr)
        return 2
    for event in Trace.read(argv[1]).events:
        if event.name == "pci_cfg_write" and mark_of(event) is None:
            continue
        meaning = words(event)
        print(f"{event.number:7} {event.name:<26} {meaning or event.text}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
