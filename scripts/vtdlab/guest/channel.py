# SPDX-License-Identifier: GPL-2.0
"""The lines of a guest over the channel: a word for the kind, then key=value."""

import dataclasses
import shlex


@dataclasses.dataclass(frozen=True)
class Record:
    """One line of the channel."""

    kind: str
    values: dict

    def __getitem__(self, key):
        return self.values.get(key, "")

    def number(self, key):
        """Returns a value as a number, decimal or 0x; None if it is missing."""
        try:
            return int(self.values[key], 0)
        except (KeyError, ValueError):
            return None


class Records:
    """All lines of a guest, in order."""

    def __init__(self):
        self.all = []

    def add(self, line):
        """Parses and stores a line; returns None for an empty or unreadable one."""
        try:
            words = shlex.split(line)
        except ValueError:
            words = line.replace('"', " ").split()
        if not words:
            return None
        pairs = (word.split("=", 1) for word in words[1:] if "=" in word)
        record = Record(words[0], dict(pairs))
        self.all.append(record)
        return record

    def of(self, kind):
        """Returns the records of one kind."""
        return [record for record in self.all if record.kind == kind]

    def marks(self):
        """Returns the label of every mark, by number."""
        return {record.number("number"): record["label"] for record in self.of("mark")}

    def mark_before(self, wanted):
        """Returns the number of the last mark before a record."""
        last = None
        for record in self.all:
            if record.kind == "mark":
                last = record.number("number")
            if record is wanted:
                return last
        return None
