# SPDX-License-Identifier: GPL-2.0
"""What the witness of the matrix of attacks accepts, and what it does not."""

from evidence import matrix
from vtdlab.evidence.trace import Trace, parse
from vtdlab.guest.channel import Records

DEVICE = "0000:00:05.0"
CELL = (f"cell kind=edu row=unmapped device={DEVICE} access=write iova=0x5000 reason=5 landed=0 "
        "several=0")
FAULT = "vtd_dmar_fault sid 0x28 fault 5 addr 0x5000 write 1"
LINE = (f"vtd: dmar0: fault: device {DEVICE} (driver x, group 1, owner kernel) write of 0x5000 "
        "refused: the page is not mapped for writing (VT-d 7.1.3, reason 0x05), domain #4, domain-id "
        "5 (DMA, strict)")


def _judge(cell=CELL, faults=(FAULT,), lines=(LINE,)):
    # pylint: disable=protected-access
    trace = Trace(parse(number, line) for number, line in enumerate(faults))
    return matrix.judge(Records().add(cell), matrix._traced(trace, DEVICE),
                                matrix._faults(lines, DEVICE))


def test_all_agree():
    """One attempt, one fault, one report."""
    assert _judge() == ""
    assert _judge(lines=[LINE, LINE.replace(DEVICE, "0000:00:06.0")]) == ""


def test_what_landed():
    """A write that landed is a failure, whatever was reported."""
    assert "landed" in _judge(CELL.replace("landed=0", "landed=1"))


def test_one_report_of_two_is_not_enough():
    """Neither the trace nor the driver's report suffices alone."""
    assert "trace has 0" in _judge(faults=())
    assert "log has 0" in _judge(lines=())
    assert "log has 2" in _judge(lines=(LINE, LINE))
    assert "trace has 2" in _judge(faults=(FAULT, FAULT))


def test_one_attempt_of_several_requests():
    """Several requests make several equal faults; there are no more reports than faults."""
    several = CELL.replace("several=0", "several=1")
    assert _judge(several, faults=(FAULT, FAULT)) == ""
    assert "2 reports of 1" in _judge(several, lines=(LINE, LINE))
    other = FAULT.replace("0x5000", "0x6000")
    assert "trace has" in _judge(several, faults=(FAULT, other))


def test_other_reasons():
    """Reason, page and access must be those of the attempt."""
    for old, new in (("fault 5", "fault 2"), ("0x5000", "0x6000"), ("write 1", "write 0")):
        assert "trace has" in _judge(faults=(FAULT.replace(old, new),))
    for old, new in (("0x05)", "0x02)"), ("0x5000", "0x6000"), ("write of", "read of")):
        assert "log has" in _judge(lines=(LINE.replace(old, new),))


def test_requests_of_unknown_requesters():
    """A requester that is no device of the driver's is reported in other words."""
    line = LINE.replace(f"device {DEVICE} (driver x, group 1, owner kernel)",
                        f"requester {DEVICE}, which is not a device of this driver,")
    assert _judge(lines=(line,)) == ""


def test_what_is_missing_shows():
    """An attempt that was not made does not count as one that cannot be made."""
    shown = matrix.table({("edu", "unmapped"): "refused, 0x05"},
                                 {("edu", "unplugged"): "why"})
    assert "MISSING" in shown and "1 of 1 attempts" in shown
    assert "edu, unplugged: why" in shown
