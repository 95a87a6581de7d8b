# SPDX-License-Identifier: GPL-2.0
"""A guest's kernel log: marks, faults, and complaints.

A complaint is anything that a kernel prints when one of its own invariants is
violated; a run with one in its log fails.
"""

import dataclasses
import re

from vtdlab.evidence import faultline

COMPLAINTS = re.compile(
    r"WARNING: |BUG: |\bBUG at |kernel BUG|Oops: |general protection fault|Kernel panic|"
    r"INFO: (task|rcu|possible|lockdep|trying)|possible (circular|recursive) locking|"
    r"inconsistent lock state|suspicious RCU usage|sleeping function called|"
    r"DMA-API: (?!preallocated|debugging|dma_debug)|kmemleak: .*(suspected|disabled)|ODEBUG: |"
    r"KASAN|UBSAN|refcount_t: |unable to handle|list_(add|del) corruption|"
    r"soft lockup|hard LOCKUP|rcu: INFO|Call Trace:|\bpanicked at\b|scheduling while atomic")

UNIT = re.compile(r"\bvtd: (dmar\d+): VT-d \S+ unit at 0x([0-9a-f]+),.* CAP 0x([0-9a-f]+)")
IN_TREE_UNIT = re.compile(r"\bDMAR: (dmar\d+): reg_base_addr ([0-9a-f]+) .*\bcap ([0-9a-f]+)")
# Ours; the in-tree driver's do not name the unit.
OF_UNIT = re.compile(r"\bvtd: (dmar\d+): fault:")
MARK = re.compile(r"guest: mark (\d+)\b")


@dataclasses.dataclass(frozen=True)
class LoggedFault:
    """A fault as a driver reported it."""

    bdf: str
    write: bool
    address: int
    reason: int
    line: str

    @property
    def unit(self):
        """The name of the unit; None in lines of the in-tree driver."""
        match = OF_UNIT.search(self.line)
        return match[1] if match else None


@dataclasses.dataclass(frozen=True)
class Unit:
    """A remapping unit as a driver reported it."""

    name: str
    cap: int


def read(path):
    """Returns the lines of a console, without carriage returns."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return [line.rstrip("\r\n") for line in file]


def complaints(lines):
    """Returns every line with which the kernel complains about itself."""
    return [line for line in lines if COMPLAINTS.search(line)]


def units(lines):
    """Returns the units by their addresses, as vtd reported them or else the in-tree driver."""
    for pattern in (UNIT, IN_TREE_UNIT):
        matches = filter(None, map(pattern.search, lines))
        found = {int(address, 16): Unit(name, int(cap, 16))
                 for name, address, cap in (match.groups() for match in matches)}
        if found:
            break
    return found


def without_crash(lines):
    """Returns the lines without those of a requested crash, up to the crash kernel's first line."""
    found, crashing = [], False
    for line in lines:
        if "sysrq: Trigger a crash" in line:
            crashing = True
        elif "Linux version " in line:
            crashing = False
        if not crashing:
            found.append(line)
    return found


def races(lines):
    """Returns (KCSAN's reports, the other lines); a report is the list of its lines."""
    reports, rest, report = [], [], None
    for line in lines:
        if "BUG: KCSAN: " in line:
            report = [line]
            reports.append(report)
        elif report is None:
            rest.append(line)
        elif line.endswith("=" * 20):
            report = None
        else:
            report.append(line)
    return reports, rest


def faults(lines):
    """Returns every refused read and write that these lines report, in either driver's form."""
    found = [(line, faultline.logged(line)) for line in lines]
    return [LoggedFault(fault.bdf, fault.access == "write", fault.address, fault.reason, line)
            for line, fault in found if fault and fault.access in ("read", "write")]


def between(lines, first, last=None):
    """Returns the lines after mark `first` and before mark `last` (or the end)."""
    inside, found = False, []
    for line in lines:
        match = MARK.search(line)
        if match and int(match[1]) == first:
            inside = True
        elif match and last is not None and int(match[1]) == last:
            break
        elif inside:
            found.append(line)
    return found
