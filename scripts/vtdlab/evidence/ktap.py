# SPDX-License-Identifier: GPL-2.0
"""Reads KTAP a line at a time: results as they arrive; plans are compared at the end."""

import dataclasses
import re

RESULT = re.compile(r"^(?P<indent> *)(?P<not>not )?ok (?P<number>\d+)(?: -)? ?(?P<name>.*?)"
                    r"(?:\s+# (?:(?P<directive>SKIP|TODO|XFAIL)\b ?(?P<reason>.*)|.*))?$")
PLAN = re.compile(r"^( *)1\.\.(\d+)(?: # SKIP (.*))?$")
SUBTEST = re.compile(r"^ *# Subtest: (.+)$")
NOTE = re.compile(r"^ *# (.*)$")


@dataclasses.dataclass(frozen=True)
class Result:
    """One line of results; `test` is the name of the test that it is in."""

    test: str
    name: str
    outcome: str            # passed, failed or skipped
    reason: str             # of a skip
    notes: tuple            # diagnostics since the last result
    top: bool               # the result of a whole test


class Reader:
    """A reader of lines; returns a Result for each line that is one."""

    def __init__(self):
        self.test, self.notes = "", []
        self.planned, self.seen = {}, {}
        self.skipped_all = ""

    def feed(self, line):
        """Returns a Result, or None."""
        if found := PLAN.match(line):
            self.planned[self._level(found[1])] = int(found[2])
            self.skipped_all = found[3] or ""
        elif found := SUBTEST.match(line):
            self.test, self.notes = found[1], []
            self.planned.pop(self._level("  "), None)
            self.seen.pop(self._level("  "), None)
        elif found := RESULT.match(line):
            return self._result(found)
        elif found := NOTE.match(line):
            self.notes.append(found[1])
        elif line.strip() and not line.strip().startswith("KTAP version"):
            self.notes.append(line.strip())
        return None

    def _level(self, indent):
        return self.test if indent else ""

    def _result(self, found):
        level = self._level(found["indent"])
        self.seen[level] = self.seen.get(level, 0) + 1
        outcome = "failed" if found["not"] else "skipped" if found["directive"] == "SKIP" else "passed"
        if outcome == "passed" and int(found["number"]) != self.seen[level]:
            self.notes.append(f"the result is number {found['number']}, but it came as "
                              f"number {self.seen[level]}")
            outcome = "failed"
        reason = found["reason"] or ""
        if outcome == "skipped" and not found["indent"]:
            reason = self.skipped_all or reason
        notes, self.notes = tuple(self.notes), []
        return Result(self.test, found["name"], outcome, reason, notes, not found["indent"])

    def missing(self):
        """Yields sentences about plans that were not kept."""
        found = [] if "" in self.planned else ["the guest gave no plan"]
        for level, planned in self.planned.items():
            seen = self.seen.get(level, 0)
            if seen != planned:
                found.append(f"{level or 'the guest'} planned {planned} results and gave {seen}")
        return found
