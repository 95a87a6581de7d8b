# SPDX-License-Identifier: GPL-2.0
"""The scripted endpoint that selftests/qemu adds to QEMU. No guest runs."""

import pytest

import qtest
from qtest import FIRST_UNIT, IOVA, Machine, Unit
from qtest_requester import (AS_TRANSLATED, ATS, BAR, BLOCKED, COMMAND, COMPLETE, DISCARD, DTE,
                             EVERYTHING, FOR_WRITE, FOUR_BYTES, IGNORE, INTERRUPT, INVALID,
                             INVALIDATION, LAST_OF_GROUP, MASTER, NOT_ENABLED, NOT_KEPT, NO_PASID,
                             PAGE_RESPONSE, PASID, PASIDE, PQT, PRE, PRESENT, PRI, PRIVILEGED,
                             PROMPT, PRS, QUEUE_FULL, READ, REFUSED, REQUESTS, REQUEST_PAGES,
                             SOURCE, TABLES_AT, TARGET, TRANSLATE, UNCHECKED, USE_KEPT, WRITE,
                             Requester, ScalableUnit, device_tlb, frame_of, machine,
                             page_response, pasid_iotlb, start_remapping, wait)

FAR = 0xFED91000
# An address of which the bits that are set say the size of an invalidation: all there is.
EVERYWHERE = 0x7FFFFFFFFFFFF000
OLD_FORMAT, NEW_FORMAT = 0xFEE00000, 0xFEE00010


def set_type(unit, kind):
    """Writes a context entry in legacy mode: 0 untranslated only, 1 all, 2 pass-through."""
    unit.machine.write(unit.tables + qtest.CONTEXT + SOURCE * 16,
                       unit.tables + qtest.PAGES | kind << 2 | 1)


def test_it_has_the_ids_and_capabilities_of_its_options(built):
    with machine(built, EVERYTHING, requester=",vendor-id=0x8086,device-id=0x1234,class-id=0x200,"
                                              "pri=off,pasid-bits=16") as started:
        requester = Requester(started)
        assert requester.configuration(0) == 0x12348086
        assert requester.configuration(8) >> 16 == 0x200
        assert [*requester.capabilities()] == [ATS, PASID]
        assert requester.configuration(requester.capabilities()[PASID] + 4) >> 8 & 0x1F == 16
        assert requester.run(REQUEST_PAGES, pasid=5) == NOT_ENABLED
    for options, kinds in (("ats=off", [PASID, PRI]), ("ats=off,pasid-bits=0", [PRI]),
                           ("ats=off,pasid-bits=0,pri=off", [])):
        with machine(built, EVERYTHING, requester=f",{options}") as started:
            requester = Requester(started)
            assert [*requester.capabilities()] == kinds
            assert requester.configuration(0) == 0x00F01B36
            assert requester.run(TRANSLATE) == NOT_ENABLED
            assert requester.run(READ, pasid=5) == (REFUSED if PASID in kinds else NOT_ENABLED)


def test_requests_are_of_a_pasid_or_of_none(scalable):
    started, requester, unit = scalable
    for pasid in (None, 5, 6):
        assert requester.run(WRITE, pasid=pasid, value=0x1122334455667788) == COMPLETE
        assert started.read(frame_of(pasid or 0)) == 0x1122334455667788
        started.write(frame_of(pasid or 0), 0x99 + (pasid or 0))
        assert requester.run(READ, pasid=pasid) == COMPLETE
        assert requester.get("value") == 0x99 + (pasid or 0)
    assert requester.run(READ, pasid=7) == REFUSED and unit.fault()[0] == SOURCE


def test_a_command_is_repeated_page_by_page(scalable):
    started, requester, _ = scalable
    assert requester.run(WRITE, pasid=5, value=3, count=8) == COMPLETE
    assert requester.get("done") == 8
    assert all(started.read(frame_of(5) + page * 0x1000) == 3 for page in range(8))
    assert requester.run(WRITE, pasid=5, address=IOVA + 0x6000, count=4) == REFUSED
    assert requester.get("done") == 2
    assert requester.run(WRITE, pasid=5, address=IOVA - 0x1000, count=2) == REFUSED
    assert requester.get("done") == 1
    assert requester.run(WRITE, count=0) == INVALID and requester.run(WRITE, flags=256) == INVALID
    assert requester.run(77) == INVALID


def test_a_request_can_have_four_bytes(scalable):
    started, requester, _ = scalable
    started.write(frame_of(0), -1)
    assert requester.run(WRITE, flags=FOUR_BYTES, value=0x1122334455667788) == COMPLETE
    assert started.read(frame_of(0)) == 0xFFFFFFFF55667788
    assert requester.run(READ, IOVA + 4, flags=FOUR_BYTES, value=0) == COMPLETE
    assert requester.get("value") == 0xFFFFFFFF


def test_registers_have_two_halves(scalable):
    started, requester, _ = scalable
    started.write(BAR + 0x18, 0x89ABCDEF, 4)
    started.write(BAR + 0x1C, 0x01234567, 4)
    assert requester.get("address") == 0x0123456789ABCDEF
    assert started.read(BAR + 0x1C, 4) == 0x01234567
    assert started.read(BAR) == 0x7165722D647476


def test_nothing_is_sent_by_a_device_that_is_no_bus_master(scalable):
    started, requester, _ = scalable
    requester.configure(COMMAND, MASTER & ~4)
    for command in (READ, WRITE, TRANSLATE, INTERRUPT):
        assert requester.run(command) == NOT_ENABLED
    assert started.read(frame_of(0)) == 0


def test_translations_are_kept_until_they_are_invalidated(scalable):
    started, requester, unit = scalable
    for pasid in (None, 5, 6):
        assert requester.run(WRITE, pasid=pasid, flags=USE_KEPT) == NOT_KEPT
        assert requester.run(TRANSLATE, pasid=pasid, flags=FOR_WRITE, count=2) == COMPLETE
        assert requester.get("translation") == frame_of(pasid or 0) + 0x1000
        assert (requester.get("mask"), requester.get("permissions")) == (0xFFF, 3)
    assert requester.get("kept") == 6
    for pasid in (5, 6):
        unit.set_leaf(pasid, 0)
        assert unit.submit(pasid_iotlb(16 + pasid, pasid))
        assert requester.run(READ, pasid=pasid) == REFUSED
        assert requester.run(WRITE, IOVA + 16, pasid, flags=USE_KEPT, value=8) == COMPLETE
        assert started.read(frame_of(pasid) + 16) == 8
    assert unit.submit(device_tlb(SOURCE, 5, IOVA))
    assert requester.messages() == [(INVALIDATION | PROMPT << 8, 5, IOVA, 0xFFF)]
    assert [requester.run(READ, pasid=pasid, flags=USE_KEPT) for pasid in (5, 6, None)] == [
        NOT_KEPT, COMPLETE, COMPLETE]
    assert requester.run(READ, address=IOVA + 0x1000, pasid=5, flags=USE_KEPT) == COMPLETE
    assert unit.submit(device_tlb(SOURCE, 5, IOVA, 1 << 11), (3 | SOURCE << 32, IOVA, 0, 0))
    assert requester.messages() == [(INVALIDATION, 5, IOVA, 0x1FFF),
                                    (INVALIDATION, NO_PASID, IOVA, 0xFFF)]
    assert requester.get("kept") == 3
    assert unit.submit(device_tlb(SOURCE, 6, EVERYWHERE, 1 << 11))
    assert requester.messages() == [(INVALIDATION, 6, 0, (1 << 64) - 1)]
    assert requester.get("kept") == 1 and requester.run(READ, flags=USE_KEPT) == NOT_KEPT
    assert requester.run(READ, IOVA + 0x1000, flags=USE_KEPT) == COMPLETE
    assert requester.run(DISCARD) == COMPLETE and requester.get("kept") == 0


def test_a_translation_for_reading_allows_no_write(scalable):
    _, requester, unit = scalable
    unit.set_leaf(5, frame_of(5) | 5)
    assert requester.run(TRANSLATE, pasid=5, flags=FOR_WRITE) == REFUSED
    assert requester.get("permissions") == 1
    assert requester.run(READ, pasid=5, flags=USE_KEPT) == COMPLETE
    assert requester.run(WRITE, pasid=5, flags=USE_KEPT) == NOT_KEPT


def test_on_command_invalidations_are_ignored(scalable):
    started, requester, unit = scalable
    requester.run(TRANSLATE, pasid=5, flags=FOR_WRITE)
    requester.set("answers", IGNORE)
    assert unit.submit(device_tlb(SOURCE, 5, IOVA))
    assert requester.messages() == [(INVALIDATION | IGNORE << 8, 5, IOVA, 0xFFF)]
    assert requester.run(WRITE, pasid=5, flags=USE_KEPT, value=4) == COMPLETE
    assert started.read(frame_of(5)) == 4
    requester.set("answers", 9)
    assert requester.get("answers") == IGNORE


def test_page_requests_and_responses(scalable):
    started, requester, unit = scalable
    assert requester.run(REQUEST_PAGES, pasid=5, flags=FOR_WRITE | LAST_OF_GROUP, group=0x1F3,
                         count=3) == COMPLETE
    assert (unit.register(PQT), unit.register(PRS, 4)) == (0x60, 1)
    asked = [[started.read(REQUESTS + 32 * number + half) for half in (0, 8)]
             for number in range(3)]
    assert asked == [[5 << 32 | SOURCE << 16 | 0x101,
                      IOVA + 0x1000 * number | 0x1F3 << 3 | 3 | (4 if number == 2 else 0)]
                     for number in range(3)]
    assert unit.submit(page_response(SOURCE, 5, 0x1F3), page_response(SOURCE, 5, 2, 1))
    (kind, pasid, group, code), second = requester.messages()
    assert (kind, pasid, group, code) == (PAGE_RESPONSE, 5, 0x1F3, 0)
    assert second[:3] == (PAGE_RESPONSE, 5, 2) and second[3] != 0
    assert requester.run(REQUEST_PAGES, pasid=6, flags=PRIVILEGED) == COMPLETE
    assert started.read(REQUESTS + 0x60) == 1 << 53 | 6 << 32 | SOURCE << 16 | 0x101
    assert requester.run(REQUEST_PAGES, pasid=5, count=200) == QUEUE_FULL
    assert requester.get("done") == 123 and unit.register(PRS, 4) & 2


@pytest.mark.parametrize("kind, allowed", [(None, False), (0, False), (1, True), (2, False)])
def test_the_context_entry_allows_translated_requests_in_legacy_mode(legacy, kind, allowed):
    """QEMU's unit makes no such check: UNCHECKED leaves it out here as well."""
    started, requester, unit = legacy
    set_type(unit, 1)
    assert requester.run(TRANSLATE, flags=FOR_WRITE) == COMPLETE
    set_type(unit, kind or 0)
    if kind is None:
        started.write(TABLES_AT, 0)
    wanted = COMPLETE if allowed else BLOCKED
    assert requester.run(WRITE, flags=USE_KEPT, value=1) == wanted
    assert requester.run(WRITE, TARGET + 8, flags=AS_TRANSLATED, value=2) == wanted
    assert requester.run(TRANSLATE) == wanted
    assert [started.read(TARGET + at) for at in (0, 8)] == ([1, 2] if allowed else [0, 0])
    counts = [requester.get(name) for name in ("translated", "blocked_translated",
                                               "blocked_translations")]
    assert counts == ([2, 0, 0] if allowed else [0, 2, 1])


@pytest.mark.parametrize("context, allowed", [
    (0, False), (DTE, False), (PRESENT | PASIDE | PRE, False), (PRESENT | DTE, True)])
def test_the_context_entry_allows_translated_requests_in_scalable_mode(scalable, context, allowed):
    started, requester, unit = scalable
    assert requester.run(TRANSLATE, flags=FOR_WRITE) == COMPLETE
    unit.set_context(SOURCE, context)
    wanted = COMPLETE if allowed else BLOCKED
    assert requester.run(WRITE, flags=USE_KEPT, value=1) == wanted
    assert requester.run(TRANSLATE) == wanted
    assert started.read(frame_of(0)) == int(allowed)


def test_without_translation_all_of_memory_is_reached_and_nothing_is_translated(legacy):
    started, requester, unit = legacy
    set_type(unit, 0)
    unit.set(qtest.GCMD, qtest.QUEUE, 4)
    assert requester.run(WRITE, TARGET, flags=AS_TRANSLATED, value=6) == COMPLETE
    assert requester.run(WRITE, TARGET + 8, value=7) == COMPLETE
    assert [started.read(TARGET + at) for at in (0, 8)] == [6, 7]
    assert requester.run(TRANSLATE) == REFUSED


def test_translated_requests_raise_no_interrupt(legacy):
    _, requester, unit = legacy
    set_type(unit, 1)
    assert requester.run(WRITE, OLD_FORMAT, flags=AS_TRANSLATED) == BLOCKED


def test_a_request_with_pasid_raises_no_interrupt(scalable):
    _, requester, _ = scalable
    assert requester.run(WRITE, OLD_FORMAT, value=0x41) == COMPLETE
    assert requester.run(WRITE, OLD_FORMAT, 5) == requester.run(INTERRUPT, OLD_FORMAT, 5) == BLOCKED
    assert requester.get("blocked_interrupts") == 2


def test_interrupts_in_the_old_format_end_with_remapping(legacy):
    """QEMU's unit lets them through."""
    _, requester, unit = legacy
    for command in (INTERRUPT, WRITE):
        assert requester.run(command, OLD_FORMAT, value=0x41) == COMPLETE
    start_remapping(unit)
    for command in (INTERRUPT, WRITE):
        assert requester.run(command, OLD_FORMAT, value=0x41) == BLOCKED
    assert requester.get("blocked_interrupts") == 2
    assert requester.run(INTERRUPT, NEW_FORMAT, value=0x41) == COMPLETE
    assert requester.run(INTERRUPT, OLD_FORMAT, flags=UNCHECKED) == COMPLETE
    assert requester.run(INTERRUPT, TARGET) == INVALID


def test_a_reset_and_the_end_of_ats_discard_all(scalable):
    started, requester, _ = scalable
    assert requester.run(TRANSLATE) == COMPLETE and requester.get("kept") == 1
    requester.configure(requester.capabilities()[ATS] + 4, 0)
    assert requester.get("kept") == 0 and requester.run(READ, flags=USE_KEPT) == NOT_ENABLED
    requester.configure(requester.capabilities()[ATS] + 4, 1 << 31)
    assert requester.run(TRANSLATE) == COMPLETE and requester.get("kept") == 1
    requester.set("answers", IGNORE)
    requester.configure(0x78, 1 << 15)
    assert requester.configuration(COMMAND) & MASTER == 0
    requester.start()
    assert (requester.get("kept"), requester.get("answers")) == (0, PROMPT)
    assert requester.run(TRANSLATE) == COMPLETE
    started.ask("outb 0xcf9 0x2")
    started.ask("outb 0xcf9 0x6")
    while started.read(FIRST_UNIT + qtest.GSTS, 4):
        pass
    started.open_configuration()
    requester.start()
    assert requester.get("kept") == 0


def test_it_is_behind_the_unit_of_its_bus(built):
    """One on pcie.0, one of a scope there, one below a far bus."""
    with Machine(built, ["intel-iommu,device-iotlb=on",
                         "pxb-pcie,id=far,bus_nr=0x20,bus=pcie.0,addr=0a.0",
                         f"vtd-unit,scope=far/05.0,base={FAR:#x},device-iotlb=on",
                         "pcie-root-port,id=bridge,bus=far,chassis=2,addr=00.0",
                         "vtd-requester,bus=pcie.0,addr=04.0", "vtd-requester,bus=pcie.0,addr=05.0",
                         "vtd-requester,bus=bridge"]) as started:
        started.open_configuration()
        started.start_bridge(0x2000, 0x21, 0xE1000000)
        sources = {0x20: FIRST_UNIT, 0x28: FAR, 0x2100: FAR}
        for base, tables in ((FIRST_UNIT, TABLES_AT), (FAR, TABLES_AT + 0x100000)):
            unit = Unit(started, base, tables)
            unit.map(sources, TARGET + (0x1000 if base == FAR else 0))
            unit.start()
        for number, (source, base) in enumerate(sources.items()):
            requester = Requester(started, source, 0xE0000000 + (0x1000000 if source > 0x1000
                                                                 else number << 16))
            assert requester.run(WRITE, value=source) == COMPLETE
            assert started.read(TARGET + (0x1000 if base == FAR else 0)) == source
            assert requester.run(TRANSLATE) == BLOCKED


def slot_control(started, port, value):
    """Writes the slot control register of a port: bits 9:8 are its power indicator, 10 is off."""
    at = qtest.ECAM + (port << 12)
    capability = started.read(at + 0x34, 4) & 0xFF
    while started.read(at + capability, 4) & 0xFF != 0x10:
        capability = started.read(at + capability, 4) >> 8 & 0xFF
    started.write(at + capability + 0x18, value, 4)


def test_it_can_be_unplugged_and_plugged(built):
    port, behind, memory = 0x40, 0x200, 0x5000000
    with Machine(built, [f"intel-iommu,{EVERYTHING}",
                         "pcie-root-port,id=bridge,chassis=2,addr=08.0",
                         "vtd-requester,id=it,bus=bridge,vendor-id=0x8086"],
                 "-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off") as started:
        started.open_configuration()
        started.start_bridge(port, 2, 0xE1000000)
        unit = ScalableUnit(started, first_stage=True)
        for turn in range(20):
            requester = Requester(started, behind, 0xE1000000)
            assert requester.configuration(0) & 0xFFFF == (0x1B36 if turn else 0x8086)
            unit.start_scalable(SOURCE, ())
            assert requester.run(WRITE, memory) == REFUSED
            assert unit.submit((3 | behind << 32, IOVA), wait(turn))
            assert requester.messages() == [(INVALIDATION, NO_PASID, IOVA, 0xFFF)]
            started.qmp("device_del", id="it")
            slot_control(started, port, 3 << 8 | 1 << 10)
            assert requester.configuration(0) == 0xFFFFFFFF
            assert unit.submit((3 | behind << 32, IOVA), wait(turn + 8))
            unit.set(qtest.GCMD, 0, 4)
            started.qmp("device_add", driver="vtd-requester", id="it", bus="bridge")
            slot_control(started, port, 1 << 8)


@pytest.mark.parametrize("unit, options, sentence", [
    (None, "", "intel-iommu, the first unit, has to come before vtd-requester"),
    ("device-iotlb=on,snoop-control=on", "",
     "a vtd-requester with ats=on needs a unit without snoop-control=on"),
    ("eim=off", ",ats=1", "ats=1 is neither on nor off"),
    ("eim=off", ",pri=yes", "pri=yes is neither on nor off"),
    ("eim=off", ",pasid-bits=21", "pasid-bits=21 is no number up to 0x14"),
    ("eim=off", ",vendor-id=intel", "vendor-id=intel is no number up to 0xffff"),
])
def test_a_wrong_option_is_a_sentence(built, unit, options, sentence):
    units = [f"intel-iommu,{unit}"] if unit else []
    status, said = qtest.ended(built, *units, f"vtd-requester{options}")
    assert (status, said) == (1, f"vtd-unit: {sentence}")


@pytest.mark.parametrize("unit, options", [
    ("device-iotlb=on,snoop-control=on", ",ats=off"), ("eim=off", "")])
def test_it_is_possible_without_invalidations_in_devices(built, unit, options):
    with machine(built, unit, requester=options) as started:
        requester = Requester(started)
        assert requester.run(WRITE, TARGET, value=1) == COMPLETE and started.read(TARGET) == 1
