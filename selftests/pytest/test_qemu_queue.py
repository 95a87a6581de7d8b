# SPDX-License-Identifier: GPL-2.0
"""A unit's queue that is slow, or answers with an error (selftests/qemu). No guest runs."""

import pytest

import qtest
from qtest import IOVA
from qtest_requester import (COMPLETE, EVERYTHING, FOR_WRITE, LATE, NEVER, NOT_KEPT, PROMPT, QUEUE,
                             READ, REFUSED, SOURCE, STATUS, TRANSLATE, USE_KEPT, Requester,
                             ScalableUnit, device_tlb, domain_of, machine, pasid_iotlb, wait)

IQE, ICE, ITE = 1 << 4, 1 << 5, 1 << 6
FECTL, IQERCD, MASKED, MESSAGE_PENDING = 0x38, 0xB0, 1 << 31, 1 << 30
UNIT_PASIDS = (0, 5, 6)


@pytest.fixture(name="started")
def unit_with_requester(built):
    """A unit with the id `unit`, a requester, and translations of PASIDs 0, 5 and 6."""
    with machine(built, f"{EVERYTHING},id=unit") as started:
        requester = Requester(started)
        unit = ScalableUnit(started, first_stage=True)
        unit.start_scalable(SOURCE, UNIT_PASIDS)
        yield started, requester, unit


def flush(pasid):
    return pasid_iotlb(domain_of(pasid), pasid)


def stale(requester, unit, pasid):
    """Lets a translation of this PASID be cached, and removes it from the tables."""
    assert requester.run(READ, pasid=pasid) == COMPLETE
    unit.set_leaf(pasid, 0)
    assert requester.run(READ, pasid=pasid) == COMPLETE


def test_each_descriptor_takes_its_time(started):
    started, requester, unit = started
    started.set_property("unit", queue_delay="20")
    stale(requester, unit, 5)
    assert not unit.submit(flush(5), wait(1), wait(2))
    started.pass_time(19)
    assert (unit.register(qtest.IQH), unit.register(qtest.IQT)) == (0, 0x60)
    assert requester.run(READ, pasid=5) == COMPLETE
    started.pass_time(1)
    assert unit.register(qtest.IQH) == 0x20 and requester.run(READ, pasid=5) == REFUSED
    assert started.read(STATUS, 4) == 0
    started.pass_time(20)
    assert started.read(STATUS, 4) == 1
    assert not unit.submit(wait(3))
    started.pass_time(100)
    assert started.read(STATUS, 4) == 3 and unit.register(qtest.IQH) == 0x80
    started.set_property("unit", queue_delay="0")
    assert unit.submit(wait(4))


def test_a_slow_queue_goes_round_and_is_held(started):
    started, _, unit = started
    started.set_property("unit", queue_delay="1")
    for turn in range(1, 10):
        assert not unit.submit(*[wait(turn)] * 30)
        started.pass_time(15)
        started.set_property("unit", queue="held")
        started.pass_time(100)
        assert unit.register(qtest.IQH) == (unit.tail - 15 * 32) % 0x1000
        started.set_property("unit", queue="runs")
        started.pass_time(30)
        assert unit.register(qtest.IQH) == unit.tail and started.read(STATUS, 4) == turn
        assert unit.register(qtest.FSTS, 4) == 0


def test_a_descriptor_gets_iqe_and_is_read_again_when_that_is_cleared(started):
    started, requester, unit = started
    stale(requester, unit, 5)
    assert unit.submit(wait(1))
    started.set_property("unit", queue_error="iqe")
    assert not unit.submit(flush(5), wait(2))
    assert unit.register(qtest.FSTS, 4) & IQE and unit.register(qtest.IQH) == 0x20
    assert started.read(QUEUE + 0x20) == flush(5)[0]
    assert not unit.submit(wait(3))
    assert started.read(STATUS, 4) == 1 and requester.run(READ, pasid=5) == COMPLETE
    unit.set(qtest.FSTS, IQE, 4)
    assert unit.register(qtest.FSTS, 4) & IQE == 0 and unit.register(qtest.IQH) == unit.tail
    assert started.read(STATUS, 4) == 3 and requester.run(READ, pasid=5) == REFUSED
    assert unit.submit(wait(4))


def expect_time_out(started, requester, unit, source):
    """Lets an invalidation in the device be followed by one in the unit, between waits: ITE
    discards the waits, and the rest is done."""
    stale(requester, unit, 6)
    unit.set(FECTL, MASKED, 4)
    before, head = started.read(STATUS, 4), unit.register(qtest.IQH)
    assert not unit.submit(device_tlb(SOURCE, 5, IOVA), wait(11), flush(6), wait(12))
    ring = [started.read(QUEUE + head + at) for at in range(0, 128, 8)]
    started.pass_time(9_999)
    assert unit.register(qtest.IQH) == head + 0x20 and unit.register(qtest.FSTS, 4) & ITE == 0
    assert requester.run(READ, pasid=6) == COMPLETE
    started.pass_time(1)
    assert unit.register(qtest.FSTS, 4) & ITE and unit.register(qtest.IQH) == unit.tail
    assert unit.register(IQERCD) == source << 32 and unit.register(IQERCD + 4, 4) == source
    assert unit.register(FECTL, 4) & MESSAGE_PENDING
    assert [started.read(QUEUE + head + at) for at in range(0, 128, 8)] == ring
    assert started.read(STATUS, 4) == before and requester.run(READ, pasid=6) == REFUSED
    assert unit.fault() and not unit.submit(wait(13)) and started.read(STATUS, 4) == before
    unit.set(qtest.FSTS, ITE, 4)
    assert unit.register(FECTL, 4) & MESSAGE_PENDING == 0
    assert unit.register(qtest.FSTS, 4) & ITE == 0
    assert started.read(STATUS, 4) == 13 and unit.register(qtest.IQH) == unit.tail


@pytest.mark.parametrize("source", [SOURCE, 0])
def test_a_device_that_never_answers_ends_in_ite(started, source):
    started, requester, unit = started
    if not source:
        started.set_property("unit", ite_source="off")
    assert requester.run(TRANSLATE, pasid=5, flags=FOR_WRITE) == COMPLETE
    requester.set("answers", NEVER)
    expect_time_out(started, requester, unit, source)
    assert requester.messages()[0][0] >> 8 == NEVER
    assert requester.run(READ, pasid=5, flags=USE_KEPT) == COMPLETE
    requester.set("answers", PROMPT)
    assert unit.submit(device_tlb(SOURCE, 5, IOVA), wait(14)) and started.read(STATUS, 4) == 14
    assert requester.run(READ, pasid=5, flags=USE_KEPT) == NOT_KEPT


def test_one_invalidation_in_any_device_gets_ite(started):
    started, requester, unit = started
    started.set_property("unit", queue_error="ite")
    assert unit.submit(wait(1))
    expect_time_out(started, requester, unit, SOURCE)
    assert unit.submit(device_tlb(SOURCE, 5, IOVA), wait(14)) and started.read(STATUS, 4) == 14


@pytest.mark.parametrize("error, bit", [("wait-ite", ITE), ("wait-ice", ICE)])
def test_a_wait_is_discarded_with_an_error(started, error, bit):
    """Also if no invalidation in a device has come before."""
    started, requester, unit = started
    stale(requester, unit, 5)
    started.set_property("unit", queue_error=error)
    assert unit.submit(flush(5), wait(1), wait(2)) == (bit == ICE)
    assert unit.register(qtest.FSTS, 4) == bit and unit.register(IQERCD) == 0
    assert started.read(STATUS, 4) == (2 if bit == ICE else 0)
    assert requester.run(READ, pasid=5) == REFUSED and unit.fault()
    unit.set(qtest.FSTS, bit, 4)
    assert unit.register(qtest.FSTS, 4) == 0 and unit.register(qtest.IQH) == unit.tail
    assert started.read(STATUS, 4) == 2


def test_the_time_until_ite_can_be_set(started):
    started, requester, unit = started
    started.set_property("unit", ite_time="500000")
    requester.set("answers", NEVER)
    assert not unit.submit(device_tlb(SOURCE, 5, IOVA), wait(1))
    started.pass_time(499_999)
    assert unit.register(qtest.FSTS, 4) & ITE == 0
    started.pass_time(1)
    assert unit.register(qtest.FSTS, 4) & ITE


def test_a_device_that_answers_late_lets_waits_wait(started):
    started, requester, unit = started
    assert requester.run(TRANSLATE, pasid=5) == COMPLETE
    requester.set("delay", 300)
    requester.set("answers", LATE)
    stale(requester, unit, 6)
    assert not unit.submit(device_tlb(SOURCE, 5, IOVA), flush(6), wait(1))
    assert requester.run(READ, pasid=6) == REFUSED, "only the wait waits"
    assert requester.run(READ, pasid=5, flags=USE_KEPT) == COMPLETE
    started.pass_time(299)
    assert started.read(STATUS, 4) == 0
    started.pass_time(1)
    assert started.read(STATUS, 4) == 1 and unit.register(qtest.IQH) == unit.tail
    assert requester.run(READ, pasid=5, flags=USE_KEPT) == NOT_KEPT
    assert unit.register(qtest.FSTS, 4) & ITE == 0


def test_a_slow_queue_does_not_catch_up_what_a_device_delayed(started):
    started, requester, unit = started
    started.set_property("unit", queue_delay="50")
    requester.set("delay", 300)
    requester.set("answers", LATE)
    assert not unit.submit(device_tlb(SOURCE, 5, IOVA), wait(1), wait(2))
    for passed, written in ((349, 0), (1, 1), (49, 1), (1, 2)):
        started.pass_time(passed)
        assert started.read(STATUS, 4) == written


def test_the_event_is_sent_if_it_is_not_masked(started):
    """The message goes to memory here, where it can be seen."""
    started, requester, unit = started
    requester.set("answers", NEVER)
    for offset, value in ((0x3C, 0x4142), (0x40, 0x6000000), (FECTL, 0)):
        unit.set(offset, value, 4)
    assert not unit.submit(device_tlb(SOURCE, 5, IOVA), wait(1))
    started.pass_time(10_000)
    assert started.read(0x6000000, 4) == 0x4142
    assert unit.register(FECTL, 4) & MESSAGE_PENDING == 0


def test_a_reset_ends_all_of_it(started):
    started, requester, unit = started
    requester.set("answers", NEVER)
    assert not unit.submit(device_tlb(SOURCE, 5, IOVA), wait(1))
    started.pass_time(10_000)
    assert unit.register(qtest.FSTS, 4) & ITE
    started.ask("outb 0xcf9 0x2")
    started.ask("outb 0xcf9 0x6")
    while unit.register(qtest.GSTS, 4):
        pass
    assert unit.register(qtest.FSTS, 4) == 0 and unit.register(qtest.IQT) == 0
    started.open_configuration()
    requester.start()
    unit.start_scalable(SOURCE, UNIT_PASIDS)
    assert unit.submit(device_tlb(SOURCE, 5, IOVA), wait(7)) and started.read(STATUS, 4) == 7


def test_in_legacy_mode_descriptors_are_short(built):
    with machine(built, "device-iotlb=on,id=unit") as started:
        requester = Requester(started)
        unit = qtest.Unit(started, 0xFED90000, 0x2000000)
        unit.map([SOURCE], 0x3000000)
        unit.start()
        requester.set("answers", NEVER)
        ring = unit.tables + qtest.RING
        for at, value in enumerate((3 | SOURCE << 32, IOVA, *wait(5), *wait(6))):
            started.write(ring + at * 8, value)
        unit.set(qtest.IQT, 0x30)
        assert unit.register(qtest.IQH) == 0x10
        started.pass_time(10_000)
        assert unit.register(IQERCD) == SOURCE << 32 and unit.register(qtest.IQH) == 0x30
        assert started.read(STATUS, 4) == 0
        unit.set(qtest.FSTS, ITE, 4)
        unit.tail = 0x30
        started.set_property("unit", queue_delay="5")
        assert not unit.invalidate()
        started.pass_time(5)
        assert unit.register(qtest.IQH) == 0x40


@pytest.mark.parametrize("option, sentence", [
    ("queue-delay=slow", "queue-delay=slow is no number up to 0x3938700"),
    ("queue-error=ice", "queue-error=ice is none of none, iqe, ite, wait-ite and wait-ice"),
    ("ite-source=yes", "ite-source=yes is neither on nor off"),
    ("ite-time=", "ite-time= is no number up to 0x3938700")])
def test_a_wrong_option_is_a_sentence(built, option, sentence):
    status, said = qtest.ended(built, f"intel-iommu,{option}")
    assert status == 1 and sentence in said and len(said.splitlines()) == 1, said
