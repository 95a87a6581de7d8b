# SPDX-License-Identifier: GPL-2.0
"""Faults of requests that QEMU's unit would let pass: the requester refuses them, as a unit does, and
its unit records why. No guest runs."""

import qtest
from qtest import IOVA
from qtest_requester import (AS_TRANSLATED, BLOCKED, COMPLETE, FOR_WRITE, INTERRUPT, PRESENT, READ,
                             REFUSED, SOURCE, TARGET, TRANSLATE, UNCHECKED, WRITE,
                             start_remapping)

FECTL, FEDATA, FEADDR = 0x38, 0x3C, 0x40
ITE = 1 << 6


def fault(unit):
    """Returns (requester, reason, address, whether it was a write, PASID) and clears the record."""
    low, high = unit.register(qtest.FRCD), unit.register(qtest.FRCD + 8)
    assert [unit.register(qtest.FRCD + at, 4) for at in (0, 4, 8, 12)] == [
        word >> shift & 0xFFFFFFFF for word in (low, high) for shift in (0, 32)]
    assert bool(high & qtest.FAULT) == bool(unit.register(qtest.FSTS, 4) & 2)
    unit.set(qtest.FRCD + 12, 1 << 31, 4)
    return high & qtest.FAULT and (high & 0xFFFF, high >> 32 & 0xFF, low, not high >> 62 & 1,
                                   high >> 40 & 0xFFFFF if high >> 31 & 1 else None)


def test_what_the_requester_refuses_is_recorded_in_legacy_mode(legacy):
    started, requester, unit = legacy
    for command, flags, writes in ((TRANSLATE, 0, False), (TRANSLATE, FOR_WRITE, True),
                                   (READ, AS_TRANSLATED, False), (WRITE, AS_TRANSLATED, True)):
        assert requester.run(command, flags=flags) == BLOCKED
        assert fault(unit) == (SOURCE, 0xD, IOVA, writes, None) and not fault(unit)
    assert requester.run(WRITE, IOVA + 0x1008, pasid=0x12345, value=1) == BLOCKED
    assert fault(unit) == (SOURCE, 0x31, IOVA + 0x1000, True, 0x12345)
    assert requester.get("blocked_pasids") == 1
    assert requester.run(READ, pasid=0, flags=UNCHECKED) == COMPLETE and not fault(unit)
    context = unit.tables + qtest.CONTEXT + SOURCE * 16
    started.write(context, started.read(context) | 2)
    assert requester.run(TRANSLATE) == BLOCKED and not fault(unit)
    started.write(context, 0)
    assert requester.run(TRANSLATE) == BLOCKED and fault(unit)[1] == 2
    started.write(unit.tables, 0)
    assert requester.run(TRANSLATE) == BLOCKED and fault(unit)[1] == 1


def test_what_the_requester_refuses_is_recorded_in_scalable_mode(scalable):
    _, requester, unit = scalable
    for context, reason in ((PRESENT, 0x44), (0, 0x41)):
        unit.set_context(SOURCE, context)
        assert requester.run(TRANSLATE, pasid=5) == BLOCKED
        assert fault(unit) == (SOURCE, reason, IOVA, False, 5)


def test_a_record_waits_for_the_one_before_it(legacy):
    """That is QEMU's, and the other way round."""
    _, requester, unit = legacy
    assert requester.run(WRITE, IOVA + 0x1000) == REFUSED
    assert requester.run(TRANSLATE) == BLOCKED
    assert fault(unit)[1] == 5 and not fault(unit)
    assert requester.run(TRANSLATE) == BLOCKED and requester.run(WRITE, IOVA + 0x1000) == REFUSED
    assert fault(unit)[1] == 0xD and fault(unit)[1] == 5 and not fault(unit)


def test_a_recorded_fault_raises_the_event(legacy):
    """Once, at the first one; if it is masked, as soon as it is not."""
    started, requester, unit = legacy
    unit.set(FEADDR, TARGET + 0x100, 4)
    for masked in (False, True):
        unit.set(FECTL, masked << 31, 4)
        unit.set(FEDATA, 0x55 + masked, 4)
        assert requester.run(TRANSLATE) == BLOCKED
        assert started.read(TARGET + 0x100, 4) == (0x55 if not masked else 0)
        assert unit.register(FECTL, 4) == (3 << 30 if masked else 0)
        unit.set(FECTL, 0, 4)
        assert started.read(TARGET + 0x100, 4) == 0x55 + masked
        started.write(TARGET + 0x100, 0, 4)
        assert requester.run(TRANSLATE) == BLOCKED
        assert started.read(TARGET + 0x100, 4) == 0
        fault(unit)
    unit.set(FECTL, 1 << 31, 4)
    assert requester.run(TRANSLATE) == BLOCKED and fault(unit)
    assert unit.register(FECTL, 4) == 1 << 31
    unit.set(FECTL, 0, 4)
    assert started.read(TARGET + 0x100, 4) == 0


def test_there_is_one_event_until_all_is_served(legacy):
    """A fault while the queue has an error raises none, and neither does the other way round."""
    started, requester, unit = legacy
    unit.set(FEADDR, TARGET + 0x100, 4)
    unit.set(FEDATA, 0x55, 4)
    unit.set(FECTL, 0, 4)

    def discard_a_wait():
        started.set_property("unit", queue_error="wait-ite")
        started.write(unit.tables + qtest.RING + unit.tail, 5 | 1 << 5)
        started.write(unit.tables + qtest.RING + unit.tail + 8, TARGET + 0x200)
        unit.tail += 16
        unit.set(qtest.IQT, unit.tail)
        assert unit.register(qtest.FSTS, 4) & ITE

    def events():
        seen = started.read(TARGET + 0x100, 4)
        started.write(TARGET + 0x100, 0, 4)
        return seen

    discard_a_wait()
    assert events() == 0x55
    assert requester.run(TRANSLATE) == BLOCKED and events() == 0
    unit.set(qtest.FSTS, ITE, 4)
    discard_a_wait()
    assert events() == 0
    unit.set(qtest.FSTS, ITE, 4)
    assert fault(unit)
    discard_a_wait()
    assert events() == 0x55


def test_an_interrupt_in_the_old_format_is_recorded(legacy):
    _, requester, unit = legacy
    start_remapping(unit)
    assert requester.run(INTERRUPT, 0xFEE00000, value=0x41) == BLOCKED
    assert fault(unit) == (SOURCE, 0x25, 0, True, None)
