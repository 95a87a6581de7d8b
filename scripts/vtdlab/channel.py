# SPDX-License-Identifier: GPL-2.0
"""What a guest says over the channel: a word for the kind, then key=value."""

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
        """A value as a number, decimal or 0x; None where there is none."""
        try:
            return int(self.values[key], 0)
        except (KeyError, ValueError):
            return None


class Records:
    """All that a guest said, in order."""

    def __init__(self):
        self.all = []

    def add(self, line):
        """Parse and keep a line; None for an empty or unreadable one."""
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
        """The records of one kind."""
        return [record for record in self.all if record.kind == kind]

    def marks(self):
        """Label of every mark, by number."""
        return {record.number("number"): record["label"] for record in self.of("mark")}

    def mark_before(self, wanted):
        """The number of the last mark that was left before a record."""
        last = None
        for record in self.all:
            if record.kind == "mark":
                last = record.number("number")
            if record is wanted:
                return last
        return None
