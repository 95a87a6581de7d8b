# SPDX-License-Identifier: GPL-2.0
"""Further units in QEMU (selftests/qemu): each is separate, and a wrong option is a sentence. No
guest runs."""

import re

import pytest

import qtest
from qtest import IOVA, READ_WRITE, SNOOP, Machine, Unit

FIRST, FAR, SLOTS = 0xFED90000, 0xFED91000, 0xFED92000
# Requesters: two functions of pcie.0, one below a port of pcie.0, one below a port of a far bus.
FIVE, SIX, BEHIND, REMOTE = 0x0028, 0x0030, 0x0200, 0x2100
ALL = (FIVE, SIX, BEHIND, REMOTE)
BARS = {FIVE: 0xE0000000, SIX: 0xE0010000, BEHIND: 0xE2000000, REMOTE: 0xE1000000}
PORT, FAR_PORT = 0x0040, 0x2000
# Where each unit's tables are, and where they lead to.
TABLES = {FIRST: 0x1000000, FAR: 0x2000000, SLOTS: 0x3000000}
TARGETS = {FIRST: 0x4000000, FAR: 0x5000000, SLOTS: 0x6000000}

WRITTEN, REFUSED, ELSEWHERE = 0, 0xDEAD0002, 0xDEAD0004
ABSENT, RESERVED = 5, 12    # fault reasons (VT-d 7.1)
PASS_THROUGH = 1 << 6
CACHING_MODE = 1 << 7

BUSES = ["pxb-pcie,id=far,bus_nr=0x20,bus=pcie.0,addr=0a.0"]
EDU = "edu,addr=00.0,dma_mask=0xffffffffffffffff,bus="
DEVICES = ["pcie-root-port,id=farport,bus=far,chassis=2,addr=00.0",
           "pcie-root-port,id=nearport,bus=pcie.0,chassis=3,addr=08.0",
           "iommu-testdev,bus=pcie.0,addr=05.0", "iommu-testdev,bus=pcie.0,addr=06.0",
           EDU + "farport", EDU + "nearport"]


def far(more=""):
    return f"vtd-unit,id=unit1,scope=far,base={FAR:#x}{more}"


def slots(more=""):
    return f"vtd-unit,id=unit2,scope=05.0/08.0,base={SLOTS:#x}{more}"


def machine(built, *units, first=""):
    """Starts a machine with these units in addition to the first."""
    started = Machine(built, ["intel-iommu" + first, *BUSES, *units, *DEVICES])
    started.open_configuration()
    for bridge, bus, window in ((PORT, 2, 0xE200), (FAR_PORT, 0x21, 0xE100)):
        started.start_bridge(bridge, bus, window << 16)
    for source in ALL:
        started.start_device(source, BARS[source])
    return started


def started_unit(machine_, base, levels=4, bits=READ_WRITE):
    """Starts a unit with tables for every requester: who asks the wrong one lands elsewhere."""
    unit = Unit(machine_, base, TABLES[base], levels)
    unit.map(ALL, TARGETS[base], bits)
    unit.start()
    assert unit.register(qtest.GSTS, 4) == qtest.TRANSLATION | qtest.ROOT | qtest.QUEUE
    return unit


def judged_write(machine_, source, iova, target):
    """Lets iommu-testdev write; returns what it says about that and `target`."""
    bar = BARS[source]
    for offset, value in ((4, iova), (8, 0), (0x1C, target), (0x20, 0), (0xC, 4), (0x14, 1)):
        machine_.write(bar + offset, value, 4)
    machine_.read(bar, 4)
    return machine_.read(bar + 0x10, 4)


def edu(machine_, source, iova):
    """Lets edu write what is in its buffer."""
    bar = BARS[source]
    for offset, value in ((0x80, 0x40000), (0x88, iova), (0x90, 4), (0x98, 3)):
        machine_.write(bar + offset, value)
    machine_.ask("clock_step 200000000")


def landed(machine_, source, iova=IOVA):
    """Lets a device write; returns the units in whose target it landed."""
    for target in TARGETS.values():
        machine_.write(target, -1)
    if source in (FIVE, SIX):
        judged_write(machine_, source, iova, TARGETS[FIRST])
    else:
        edu(machine_, source, iova)
    return [unit for unit, target in TARGETS.items() if machine_.read(target) != (1 << 64) - 1]


def test_each_unit_translates_only_what_is_its_own(built):
    """Also if a scope names single functions of pcie.0, and ports with what is below them."""
    with machine(built, far(), slots()) as three:
        for base in TABLES:
            started_unit(three, base)
        assert {source: landed(three, source) for source in ALL} == {
            FIVE: [SLOTS], SIX: [FIRST], BEHIND: [SLOTS], REMOTE: [FAR]}
    with machine(built, far()) as two:
        for base in (FIRST, FAR):
            started_unit(two, base)
        assert {source: landed(two, source) for source in ALL} == {
            FIVE: [FIRST], SIX: [FIRST], BEHIND: [FIRST], REMOTE: [FAR]}


def test_a_unit_that_is_off_lets_its_devices_pass_while_another_translates(built):
    with machine(built, far()) as two:
        started_unit(two, FIRST)
        assert landed(two, REMOTE, TARGETS[SLOTS]) == [SLOTS]
        assert landed(two, SIX) == [FIRST]


def test_faults_land_in_the_registers_of_the_right_unit(built):
    with machine(built, far(), slots()) as three:
        units = {base: started_unit(three, base) for base in TABLES}
        for source, owner in ((FIVE, SLOTS), (SIX, FIRST), (BEHIND, SLOTS), (REMOTE, FAR)):
            assert landed(three, source, IOVA + 0x5000) == []
            assert {base: unit.fault() for base, unit in units.items()} == {
                base: (source, ABSENT) if base == owner else None for base in TABLES}


def test_the_machine_says_what_it_saw(built):
    """iommu-testdev distinguishes a refused write from one that landed elsewhere."""
    with machine(built, far(), slots()) as three:
        for base in TABLES:
            started_unit(three, base)
        assert judged_write(three, FIVE, IOVA, TARGETS[SLOTS]) == WRITTEN
        assert judged_write(three, FIVE, IOVA, TARGETS[FIRST]) == ELSEWHERE
        assert judged_write(three, FIVE, IOVA + 0x5000, TARGETS[SLOTS]) == REFUSED


def test_an_invalidation_reaches_the_translations_of_one_unit(built):
    with machine(built, far()) as two:
        units = {base: started_unit(two, base) for base in (FIRST, FAR)}
        both = ((SIX, FIRST), (REMOTE, FAR))
        assert all(landed(two, source) == [base] for source, base in both)
        for unit in units.values():
            unit.leaf(TARGETS[SLOTS])
        assert all(landed(two, source) == [base] for source, base in both), "nothing was cached"
        assert units[FAR].invalidate()
        assert (landed(two, SIX), landed(two, REMOTE)) == ([FIRST], [SLOTS])
        assert units[FIRST].invalidate()
        assert (landed(two, SIX), landed(two, REMOTE)) == ([SLOTS], [SLOTS])


def test_properties_of_intel_iommu_are_of_one_unit(built):
    with machine(built, far(",aw-bits=39,caching-mode=on")) as two:
        first, second = (Unit(two, base, 0).register(qtest.CAP) for base in (FIRST, FAR))
    assert (first >> 16 & 0x3F, second >> 16 & 0x3F) == (47, 38)
    assert (first & CACHING_MODE, second & CACHING_MODE) == (0, CACHING_MODE)


def capabilities(machine_, base):
    """Returns CAP and ECAP, which are the same in halves."""
    found = []
    for offset in (qtest.CAP, qtest.ECAP):
        low, high = (machine_.read(base + offset + half, 4) for half in (0, 4))
        found.append(machine_.read(base + offset))
        assert found[-1] == high << 32 | low
    return found


def test_a_unit_without_a_capability_bit_does_not_show_it(built):
    first_misses, second_misses, second_adds = PASS_THROUGH, 1 << 59 | 1, 1 << 48
    with machine(built, far()) as plain:
        cap, ecap = capabilities(plain, FIRST)
        assert [cap, ecap] == capabilities(plain, FAR) and ecap & PASS_THROUGH
    with machine(built, far(f",cap-removed={cap & 0xff00:#x},ecap-added={second_adds:#x},"
                            f"ecap-removed={second_misses:#x}"),
                 first=f",ecap-removed={first_misses:#x},cap-added={1 << 4:#x}") as two:
        assert capabilities(two, FIRST) == [cap | 1 << 4, ecap & ~first_misses]
        assert capabilities(two, FAR) == [cap & ~0xff00, (ecap | second_adds) & ~second_misses]


SNOOPS, NARROW = "snoop-control=on", "aw-bits=39"


@pytest.mark.parametrize("first, second", [
    (SNOOPS, NARROW), (NARROW, SNOOPS), (NARROW, NARROW), (SNOOPS, f"{NARROW},{SNOOPS}")])
def test_each_unit_has_its_own_reserved_bits(built, first, second):
    """The snoop bit of a leaf, and an address beyond 39 bits, are judged by the unit's own width
    and abilities, also after the machine is reset."""
    options = {FIRST: first, FAR: second}
    levels = {base: 3 if NARROW in text else 4 for base, text in options.items()}
    with machine(built, far("," + second), first="," + first) as two:
        for again in (False, True):
            if again:
                reset(two)
            units = {base: started_unit(two, base, levels[base], READ_WRITE | SNOOP)
                     for base in options}
            for source, base in ((SIX, FIRST), (REMOTE, FAR)):
                snoops = SNOOPS in options[base]
                assert landed(two, source) == ([base] if snoops else [])
                assert units[base].fault() == (None if snoops else (source, RESERVED))
                units[base].leaf(1 << 40)
                units[base].invalidate()
                landed(two, source)
                assert units[base].fault() == ((source, RESERVED) if levels[base] == 3 else None)


def reset(machine_):
    """Resets the machine; its devices are started again."""
    machine_.ask("outb 0xcf9 0x2")
    machine_.ask("outb 0xcf9 0x6")
    for base in (FIRST, FAR):
        while machine_.read(base + qtest.GSTS, 4):
            pass
    machine_.open_configuration()
    for bridge, bus, window in ((PORT, 2, 0xE200), (FAR_PORT, 0x21, 0xE100)):
        machine_.start_bridge(bridge, bus, window << 16)
    for source in ALL:
        machine_.start_device(source, BARS[source])


def test_the_trace_says_which_unit_did_the_work(built):
    with machine(built, far()) as two:
        units = [started_unit(two, base) for base in (FIRST, FAR)]
        before = two.log.stat().st_size
        for unit in (units[1], units[0], units[1]):
            assert unit.invalidate()
        lines = two.log.read_bytes()[before:].decode()
    work = re.findall(r"^vtd_unit (\S+) write 0x88 size 8 value (\S+)\n"
                      r"(?:vtd_inv_desc .*\n)?vtd_inv_desc_iotlb_global ", lines, re.M)
    assert work == [(f"{FAR:#x}", "0x10"), (f"{FIRST:#x}", "0x10"), (f"{FAR:#x}", "0x20")], lines


def set_queue(machine_, value):
    machine_.qmp("qom-set", path="/machine/peripheral/unit1", property="queue", value=value)


def test_a_held_queue_is_of_one_unit_and_continues_where_it_was(built):
    with machine(built, far(",queue=held")) as two:
        units = {base: started_unit(two, base) for base in (FIRST, FAR)}
        assert landed(two, REMOTE) == [FAR]
        units[FAR].leaf(TARGETS[SLOTS])
        assert not units[FAR].invalidate() and not units[FAR].invalidate()
        assert (units[FAR].register(qtest.IQH), units[FAR].register(qtest.IQT)) == (0, 0x20)
        assert units[FIRST].invalidate()
        assert landed(two, REMOTE) == [FAR]
        set_queue(two, "runs")
        assert units[FAR].register(qtest.IQH) == 0x20
        assert landed(two, REMOTE) == [SLOTS]


def test_a_step_of_a_queue_does_what_was_submitted_before(built):
    with machine(built, far(",queue=held")) as two:
        unit = started_unit(two, FAR)
        assert not unit.invalidate() and not unit.invalidate()
        for _ in range(2):
            set_queue(two, "step")
            assert unit.register(qtest.IQH) == 0x20
        assert not unit.invalidate()
        assert unit.register(qtest.IQH) == 0x20
        set_queue(two, "runs")
        assert unit.register(qtest.IQH) == 0x30
        assert unit.invalidate()


def on_five(base):
    return f"vtd-unit,scope=05.0,base={base:#x}"


@pytest.mark.parametrize("devices, sentence", [
    ([far()], "intel-iommu, the first unit, has to come before vtd-unit"),
    (["intel-iommu", far()], "far is neither a root bus of its own nor a function of pcie.0"),
    (["intel-iommu", "vtd-unit,scope=05.0"], "a vtd-unit needs scope= and base="),
    (["intel-iommu", on_five(FAR + 8)], "base=0xfed91008 is no address of a page"),
    (["intel-iommu", on_five(FIRST)], "base=0xfed90000 is the base of two units"),
    (["intel-iommu", on_five(FAR), on_five(SLOTS)], "05.0 is in the scope of two units"),
    (["intel-iommu", *BUSES, far(), slots().replace("05.0", "far")],
     "far is in the scope of two units"),
    (["intel-iommu,ecap-added=SC"], "SC is no number of bits to add or to remove"),
    (["intel-iommu,queue=slow"], "queue=slow is neither held nor step nor runs"),
    (["intel-iommu", on_five(FAR) + ",aw-bits=57"], "aw-bits"),
    (["intel-iommu", "intel-iommu"], "does not support multiple vIOMMUs"),
])
def test_a_wrong_option_is_a_sentence(built, devices, sentence):
    status, said = qtest.ended(built, *devices)
    assert status == 1 and sentence in said and len(said.splitlines()) == 1, said
