# SPDX-License-Identifier: GPL-2.0
"""No test names a remapping unit: on a machine with several, its devices may be behind any.

A test asks for the unit of its device (`unit_of` in selftests/lib/common.sh), for each unit
(`each_unit`), or for the one that firmware lists at an address (`unit_at`).
"""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
NAME = re.compile(r"dmar\d", re.I)
# Files that may name one, and why.
RIGHT = {
    "selftests/pytest/test_*.py": "they boot nothing: their samples are texts of drivers",
}


def named(text):
    """Returns the lines of a text that name a unit, each with its number."""
    return [f"{number}: {line.strip()}" for number, line in enumerate(text.splitlines(), 1)
            if NAME.search(line)]


def _files():
    for folder in ("selftests", "scripts"):
        for path in sorted((TOP / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def test_no_test_names_a_unit():
    """Only the files of the list do, and each of them does."""
    found = {path.relative_to(TOP): lines for path in _files()
             if (lines := named(path.read_text(encoding="utf-8", errors="replace")))}
    wrong = [f"{path}:{line}" for path, lines in found.items() for line in lines
             if not any(path.match(right) for right in RIGHT)]
    assert not wrong, "\n".join(wrong)
    unused = [right for right in RIGHT if not any(path.match(right) for path in found)]
    assert not unused, "these name no unit any more"


@pytest.mark.parametrize("line", [
    "UNIT=/sys/class/iommu/dmar0", 'log_has "vtd: dmar1: the unit is left out"',
    'complain(UNITS "/dmar12/devices");', "if unit == 'DMAR0':"])
def test_a_name_is_found(line):
    """In a path, a pattern, a string, in capitals."""
    assert named(f"first\n{line}\nlast\n") == [f"2: {line}"]


@pytest.mark.parametrize("line", [
    'cat "/sys/kernel/debug/vtd/$unit/registers"', "/sys/class/iommu/dmar*/devices",
    "dmar$((${line%%:*} - 1))", "a machine without a DMAR"])
def test_other_words_are_right(line):
    """Patterns for all units, the rule by which they are numbered, the table."""
    assert not named(line)
