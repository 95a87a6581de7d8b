# SPDX-License-Identifier: GPL-2.0
"""The second witness of the matrix of attacks, and the matrix itself; see witness.py.

A cell holds if nothing landed, if QEMU's trace has the fault of that device with
that reason, access and page, and if the driver reported exactly that, once. An
attempt that makes several requests (a packet, a block) may have several faults, all
of the same kind; it then has at most as many reports.
"""

import dataclasses

from vtdlab.evidence import faultline
from vtdlab.guest import devices

PAGE = ~0xFFF
BLOCKED, BEYOND = 2, 4
ROWS = ("never-mapped", "unmapped", "read-only", "write-only", "beyond-aperture", "other-domain",
        "interrupt-window", "identity-to-DMA", "detached", "unplugged", "not-attached",
        "other-owners-function")
KINDS = ("edu", "testdev", "nvme", "igbvf")
WIDTH = 18


@dataclasses.dataclass(frozen=True)
class _Seen:
    """A fault, from the trace or from the driver."""

    write: bool
    page: int
    reason: int


def _faults(log, bdf):
    found = []
    for line in log:
        match = faultline.OURS.search(line)
        if match and match["bdf"] == bdf:
            found.append(_Seen(match["access"] == "write", int(match["address"], 16) & PAGE,
                               int(match["reason"], 16)))
    return found


def _traced(trace, bdf):
    return [_Seen(fault.write, fault.address & PAGE, fault.reason) for fault in trace.faults()
            if fault.sid == devices.source_id(bdf)]


def _was_used(trace, record):
    """Returns whether the unit had walked to the page for the device: then it was cached."""
    sid, page = devices.source_id(record["device"]), (record.number("iova") or 0) & PAGE
    return any(event.value("sid") == sid and event.value("iova") & PAGE == page
               for event in trace.named("vtd_iotlb_page_update"))


def judge(record, traced, reported):
    """Returns why a cell does not hold; empty if it does."""
    if record["landed"] == "1":
        return "it landed"
    wanted = _Seen(record["access"] == "write", (record.number("iova") or 0) & PAGE,
                   record.number("reason"))
    for who, found in (("QEMU's trace", traced), ("the driver's log", reported)):
        wrong = [one for one in found if one != wanted]
        if wrong:
            return f"{who} has {wrong[0]}, not {wanted}"
        if not found or (len(found) > 1 and record["several"] != "1"):
            return f"{who} has {len(found)} faults where there was one attempt"
    if len(reported) > len(traced):
        return f"{len(reported)} reports of {len(traced)} faults"
    return ""


def table(cells, left_out):
    """Returns the matrix as text: a row for each kind of attack, a column for each device."""
    lines = ["".join([f"{'':24}", *(f"{kind:{WIDTH}}" for kind in KINDS)]).rstrip()]
    for row in ROWS:
        words = [cells.get((kind, row), "-" if (kind, row) in left_out else "MISSING")
                 for kind in KINDS]
        lines.append("".join([f"{row:24}", *(f"{word:{WIDTH}}" for word in words)]).rstrip())
    refused = sum(word.startswith("refused") for word in cells.values())
    lines += ["", f"{refused} of {len(cells)} attempts refused, reported once and seen by QEMU; "
                  f"{len(left_out)} that a device cannot make:"]
    lines += [f"  {kind}, {row}: {why}" for (kind, row), why in left_out.items()]
    return "\n".join(lines) + "\n"


def claims(evidence):
    """Checks every cell; none is missing."""
    cells, left_out = {}, {}
    for record in evidence.records.of("cell"):
        place = record["kind"], record["row"]
        if record["cannot"]:
            left_out[place] = record["cannot"]
            continue
        trace, log = evidence.window(record)
        bdf = record["device"]
        why = judge(record, _traced(trace, bdf), _faults(log, bdf))
        if not why and place[1] == "unmapped" and not _was_used(trace, record):
            why = "it was not in use before it was unmapped"
        cells[place] = "NOT " + why if why else f"refused, {record.number('reason'):#04x}"
        yield f"{place[0]}: {place[1]} is refused for the reason reported", why
    out = evidence.outcome.console.parent / "matrix.txt"
    out.write_text(table(cells, left_out), encoding="utf-8")
    missing = [f"{kind} {row}" for row in ROWS for kind in KINDS
               if (kind, row) not in cells and (kind, row) not in left_out]
    yield f"{len(cells)} attempts in all, {len(left_out)} impossible, none left out", (
        f"missing: {', '.join(missing)}" if missing else "")
