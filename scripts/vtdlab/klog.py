# SPDX-License-Identifier: GPL-2.0
"""What a guest's kernel log says: marks, faults, and complaints.

A complaint is anything that a kernel prints when one of its own invariants
broke; no run with one in its log passes.
"""

import dataclasses
import re

COMPLAINTS = re.compile(
    r"WARNING: |BUG: |\bBUG at |kernel BUG|Oops: |general protection fault|Kernel panic|"
    r"INFO: (task|rcu|possible|lockdep|trying)|possible (circular|recursive) locking|"
    r"inconsistent lock state|suspicious RCU usage|sleeping function called|"
    r"DMA-API: (?!preallocated|debugging|dma_debug)|kmemleak: .*(suspected|disabled)|ODEBUG: |"
    r"KASAN|UBSAN|refcount_t: |unable to handle|list_(add|del) corruption|"
    r"soft lockup|hard LOCKUP|rcu: INFO|Call Trace:|\bpanicked at\b|scheduling while atomic")

MARK = re.compile(r"guest: mark (\d+)\b")
OURS = re.compile(
    r"vtd: (?P<unit>\S+): fault: (?:device|requester) (?P<bdf>[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])"
    r"(?P<who>.*?) (?P<access>read|write)\w* (?:to|from|of|at) (?P<address>0x[0-9a-f]+) .*?"
    r"reason (?P<reason>0x[0-9a-f]+|\d+)(?P<rest>.*)")
IN_TREE = re.compile(
    r"\[DMA (?P<access>Read|Write)[^\]]*\] Request device \[(?P<bdf>[0-9a-f:.]+)\] "
    r"fault addr (?P<address>0x[0-9a-f]+) \[fault reason (?P<reason>0x[0-9a-f]+)\]")


@dataclasses.dataclass(frozen=True)
class LoggedFault:
    """A fault as a driver reported it."""

    bdf: str
    write: bool
    address: int
    reason: int
    line: str


def read(path):
    """The lines of a console, without carriage returns."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return [line.rstrip("\r\n") for line in file]


def complaints(lines):
    """Every line with which the kernel complains about itself."""
    return [line for line in lines if COMPLAINTS.search(line)]


def without_crash(lines):
    """The lines but those of a crash that was asked for, up to the crash kernel's first one."""
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
    """(what KCSAN reports, the other lines); a report is the list of its lines."""
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
    """Every fault in these lines, by our driver or the in-tree one."""
    found = []
    for line in lines:
        match = OURS.search(line) or IN_TREE.search(line)
        if match:
            bdf = match["bdf"] if match["bdf"].count(":") == 2 else f"0000:{match['bdf']}"
            found.append(LoggedFault(bdf, match["access"].lower() == "write",
                                     int(match["address"], 16), int(match["reason"], 0),
                                     match.string))
    return found


def between(lines, first, last=None):
    """The lines after mark `first` and before mark `last` (or the end)."""
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
