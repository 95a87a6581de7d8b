# SPDX-License-Identifier: GPL-2.0
"""What QEMU's unit does in scalable mode where that is not obvious: Q1 to Q11 of
Documentation/qemu-units.rst. If a newer QEMU does otherwise, the test by that name says so."""

import pytest

import qtest
from qtest import IOVA
from qtest_requester import (AS_TRANSLATED, COMPLETE, DTE, EVERYTHING, FIRST_STAGE,
                             FOR_WRITE, LAST_OF_GROUP, PASIDE, PASS_THROUGH, PQT,
                             PRESENT, READ, REFUSED, REQUEST_PAGES, SCALABLE, SOURCE, TRANSLATE,
                             UNCHECKED, WRITE, Requester, ScalableUnit, domain_of,
                             frame_of, machine, pasid_cache, pasid_iotlb, wait)

A, D = 1 << 5, 1 << 6
READ_ONLY = 5
IQE = 1 << 4
# Fault reasons (VT-d 7.1.3): no PASID entry, no first-stage entry, write to a read-only page, page
# requests not enabled; of the second stage, as in legacy mode: write, read.
NO_ENTRY, FIRST_ABSENT, FIRST_WRITE, NO_REQUESTS = 0x5B, 0x71, 0x85, 0x47
SECOND_WRITE, SECOND_READ = 5, 6
HAS_PASID = 1 << 31
BOTH = pytest.mark.parametrize("first_stage", [False, True], ids=["second", "first"])


class Bed:
    """A machine with a unit in scalable mode and a requester."""

    def __init__(self, machine_, first_stage, pasids=(0, 5, 6)):
        self.machine = machine_
        self.requester = Requester(machine_)
        self.unit = ScalableUnit(machine_, first_stage)
        self.unit.start_scalable(SOURCE, pasids)

    def reads(self, pasid=None, page=0):
        return self.requester.run(READ, IOVA + page * 0x1000, pasid) == COMPLETE

    def writes(self, pasid=None, page=0):
        return self.requester.run(WRITE, IOVA + page * 0x1000, pasid) == COMPLETE

    def leaf(self, pasid, page=0):
        return self.machine.read(self.unit.leaf_at(pasid, page))

    def whole_fault(self):
        """Returns reason and PASID of the recorded fault, None for a record without PASID."""
        high = self.unit.register(qtest.FRCD + 8)
        fault = self.unit.fault()
        assert fault and fault[0] == SOURCE
        return fault[1], high >> 40 & 0xFFFFF if high & HAS_PASID else None


@pytest.fixture(name="bed")
def bed_with_everything(built):
    with machine(built, EVERYTHING) as started:
        yield Bed(started, first_stage=True)


@pytest.fixture(name="staged")
def bed_with_one_stage(built, first_stage):
    with machine(built, FIRST_STAGE if first_stage else SCALABLE) as started:
        yield Bed(started, first_stage)


@BOTH
def test_q1_requests_with_pasid_need_an_entry_of_pasid_0(staged):
    """Also requests that have nothing to do with it."""
    assert staged.reads(5) and staged.reads(None)
    staged.unit.entry(0, 0, 0, 0)
    assert staged.unit.submit((1 | 1 << 4,), (2 | 1 << 4,), wait(1))
    assert not staged.reads(5)
    assert staged.whole_fault() == (NO_ENTRY, None)
    staged.unit.entry(0, *staged.unit.translating_entry(0))
    assert staged.reads(5)


OF_PASID, GLOBAL = pasid_cache(domain_of(0), 0), (7 | 3 << 4,)
# What follows the removal of an entry, the first time and the second, and whether QEMU notices
# the second. With "installed", an invalidation follows the installation of an entry, too.
LEAVING = {
    "nothing": ((), (), False),
    "of-pasid": (OF_PASID, OF_PASID, False),
    "of-pasid-then-global": (OF_PASID, GLOBAL, False),
    "global": (GLOBAL, GLOBAL, True),
    "context-cache": (OF_PASID, (1 | 3 << 4 | SOURCE << 32,), True),
    "installed": (OF_PASID, OF_PASID, True),
}


@BOTH
@pytest.mark.parametrize("how", LEAVING)
def test_q2_the_end_of_pass_through_needs_an_invalidation_that_qemu_notices(staged, how):
    """From translation to pass-through and back, without caching mode. QEMU has copies of entries.
    An invalidation of one PASID invalidates the copy, and the next one is ignored as long as there
    is none."""
    unit, memory = staged.unit, frame_of(0)
    first, second, noticed = LEAVING[how]

    def leave(descriptor):
        unit.entry(0, 0, domain_of(0), 0)
        assert unit.submit(*[descriptor] if descriptor else [], pasid_iotlb(domain_of(0), 0),
                           (2 | 1 << 4,))

    def install(*entry):
        unit.entry(0, *entry)
        assert how != "installed" or unit.submit(OF_PASID)

    assert staged.reads()
    leave(first)
    install(PASS_THROUGH | 2 << 2 | PRESENT, domain_of(0), 0)
    assert staged.requester.run(WRITE, memory) == COMPLETE, "pass-through"
    leave(second)
    left = staged.requester.run(WRITE, memory)
    install(*unit.translating_entry(0))
    wanted = REFUSED if noticed else COMPLETE
    assert (left, staged.requester.run(WRITE, memory)) == (wanted, wanted)


def test_q3_accessed_and_dirty_are_set_only_by_a_walk_that_finds_neither(bed):
    """So an entry that is accessed never becomes dirty."""
    assert bed.reads(5) and bed.leaf(5) & (A | D) == A
    assert bed.writes(5) and bed.leaf(5) & (A | D) == A, "the IOTLB has it"
    assert bed.unit.submit(pasid_iotlb(domain_of(5), 5))
    assert bed.writes(5) and bed.leaf(5) & (A | D) == A, "QEMU sets D now"
    bed.unit.set_leaf(5, bed.leaf(5) & ~(A | D))
    assert bed.writes(5) and bed.leaf(5) & (A | D) == 0, "the IOTLB has it"
    assert bed.unit.submit(pasid_iotlb(domain_of(5), 5))
    assert bed.writes(5) and bed.leaf(5) & (A | D) == A | D


def test_q4_fault_records_have_a_pasid_only_if_the_request_has_and_an_entry_was_found(bed):
    bed.unit.set_leaf(5, 0)
    bed.unit.set_leaf(6, frame_of(6) | READ_ONLY)
    bed.unit.set_leaf(0, 0)
    assert not bed.reads(7) and bed.whole_fault() == (NO_ENTRY, None)
    assert not bed.reads(5) and bed.whole_fault() == (FIRST_ABSENT, 5)
    assert not bed.writes(6) and bed.whole_fault() == (FIRST_WRITE, 6)
    assert bed.reads(6) and not bed.writes(6) and bed.unit.fault() is None, "the IOTLB refused it"
    assert not bed.reads(None) and bed.whole_fault() == (FIRST_ABSENT, None)
    bed.unit.set_context(SOURCE, PRESENT | DTE | PASIDE)
    assert bed.requester.run(REQUEST_PAGES, pasid=5) == REFUSED
    assert bed.whole_fault() == (NO_REQUESTS, 5)


def test_q4_the_second_stage_has_the_reasons_of_legacy_mode(built):
    with machine(built, SCALABLE) as started:
        bed = Bed(started, first_stage=False)
        bed.unit.set_leaf(5, 0)
        assert not bed.reads(5) and bed.whole_fault() == (SECOND_READ, 5)
        assert not bed.writes(5) and bed.whole_fault() == (SECOND_WRITE, 5)


def test_q5_translated_requests_pass_in_scalable_mode_whatever_the_entry_says(bed):
    """The requester's own check is left out."""
    run, memory = bed.requester.run, frame_of(6)
    for number, context in enumerate((PRESENT | DTE | PASIDE, PRESENT | PASIDE, 0)):
        bed.unit.set_context(SOURCE, context)
        assert bed.unit.submit((1 | 1 << 4,), (2 | 1 << 4,), wait(number))
        assert run(WRITE, memory, flags=AS_TRANSLATED | UNCHECKED, value=number + 1) == COMPLETE
        assert bed.machine.read(memory) == number + 1
        assert run(WRITE, memory, 5, flags=AS_TRANSLATED | UNCHECKED) == REFUSED
        translated = run(TRANSLATE, pasid=5, flags=UNCHECKED)
        assert translated == (COMPLETE if context else REFUSED)


def test_q5_translated_requests_are_translated_again_in_legacy_mode(built):
    with machine(built, "device-iotlb=on") as started:
        requester, unit = Requester(started), qtest.Unit(started, 0xFED90000, 0x2000000)
        unit.map([SOURCE], 0x3000000)
        unit.start()
        entry, results = unit.tables + qtest.CONTEXT + SOURCE * 16, []
        for kind in range(3):
            started.write(entry, (unit.tables + qtest.PAGES if kind < 2 else 0) | kind << 2 | 1)
            unit.set(qtest.GCMD, qtest.QUEUE | qtest.ROOT | qtest.TRANSLATION, 4)
            results += [(requester.run(WRITE, 0x3000008, flags=AS_TRANSLATED | UNCHECKED),
                         requester.run(TRANSLATE, flags=UNCHECKED))]
        assert results == [(REFUSED, COMPLETE), (REFUSED, COMPLETE), (COMPLETE, COMPLETE)]


def test_q6_page_requests_have_a_pasid(bed):
    assert bed.requester.run(REQUEST_PAGES) == REFUSED
    assert bed.unit.register(PQT) == 0
    assert bed.requester.run(REQUEST_PAGES, pasid=5, flags=LAST_OF_GROUP) == COMPLETE
    assert bed.unit.register(PQT) == 0x20


@pytest.mark.parametrize("pages, accepted", [(17, True), (18, True), (19, False), (20, False)])
def test_q7_pages_by_pasid_are_limited_to_mamv(bed, pages, accepted):
    """More than that is an error of the queue, and invalidates nothing."""
    assert bed.unit.register(qtest.CAP) >> 48 & 0x3F == 18
    assert bed.reads(5)
    bed.unit.set_leaf(5, 0)
    assert bed.reads(5), "nothing was cached"
    first = IOVA & ~((0x1000 << pages) - 1)
    assert bed.unit.submit(pasid_iotlb(domain_of(5), 5, first, pages)) == accepted
    assert bed.unit.register(qtest.FSTS, 4) & IQE == (0 if accepted else IQE)
    assert bed.reads(5) != accepted


@BOTH
def test_q8_entries_of_pasids_are_not_cached(staged):
    """A missing invalidation of the PASID cache stays unnoticed. The IOTLB is another matter."""
    assert staged.reads(5)
    staged.unit.entry(5, 0, 0, 0)
    assert staged.reads(5), "nothing was in the IOTLB"
    assert not staged.reads(5, page=1)
    assert staged.whole_fault()[0] == NO_ENTRY
    staged.unit.entry(5, *staged.unit.translating_entry(6))
    assert staged.requester.run(READ, IOVA + 0x2000, 5) == COMPLETE
    staged.machine.write(frame_of(6) + 0x3000, 0x66)
    assert staged.reads(5, page=3) and staged.requester.get("value") == 0x66


@BOTH
def test_q9_the_iotlb_keeps_pasids_apart(staged):
    for pasid in (5, 6):
        assert staged.reads(pasid)
        staged.unit.set_leaf(pasid, 0)
    assert staged.unit.submit(pasid_iotlb(domain_of(5), 6), pasid_iotlb(domain_of(6), 5))
    assert staged.reads(5) and staged.reads(6), "domain and PASID belong together"
    assert staged.unit.submit(pasid_iotlb(domain_of(5), 5, IOVA))
    assert staged.reads(5) != staged.unit.first_stage, "pages by PASID are of the first stage"
    assert staged.unit.submit((2 | 3 << 4 | domain_of(5) << 16, IOVA))
    assert not staged.reads(5) and staged.reads(6)
    assert staged.unit.submit(pasid_iotlb(domain_of(6), 6))
    assert not staged.reads(6)


def test_q10_a_write_sets_accessed_at_each_level_and_dirty_in_the_leaf(bed):
    tables = [bed.unit.table(5, level) + (8 if level == 1 else 0) for level in range(3)]
    assert not any(bed.machine.read(entry) & (A | D) for entry in tables)
    assert bed.writes(5)
    assert [bed.machine.read(entry) & (A | D) for entry in tables] == [A, A, A]
    assert bed.leaf(5) & (A | D) == A | D and bed.leaf(5, 1) & (A | D) == 0


def test_q11_a_page_request_invalidates_its_page(bed):
    for page in range(2):
        assert bed.reads(5, page)
        bed.unit.set_leaf(5, 0, page)
    assert bed.requester.run(REQUEST_PAGES, pasid=5, flags=FOR_WRITE | LAST_OF_GROUP) == COMPLETE
    assert not bed.reads(5) and bed.reads(5, page=1)


def test_q11_page_requests_need_the_first_stage(bed):
    bed.unit.entry(5, PASS_THROUGH | 2 << 2 | PRESENT, domain_of(5), 0)
    assert bed.requester.run(REQUEST_PAGES, pasid=5, flags=LAST_OF_GROUP) == REFUSED
    assert bed.unit.register(PQT) == 0
