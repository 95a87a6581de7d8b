# SPDX-License-Identifier: GPL-2.0
"""Machines with several units: firmware's table, and what each witness says of which unit."""

import struct

import pytest

from evidence import detach, ending, fault, load, queue_errors, units
from vtdlab.errors import LabError
from vtdlab.evidence import klog, serving
from vtdlab.evidence.run import Evidence
from vtdlab.evidence.trace import Trace
from vtdlab.guest import acpi, devices, machines
from vtdlab.guest.channel import Records

FIRST, FAR = 0xFED90000, 0xFED91000
CONSOLE = [
    "vtd: dmar0: VT-d 1.0 unit at 0xfed91000, segment 0000, CAP 0x80d2000c22260206, ECAP 0xf00f4a",
    "vtd: dmar1: VT-d 1.0 unit at 0xfed90000, segment 0000, CAP 0x80d2008c222f0606, ECAP 0xf00fca",
]
FAULT = ("vtd: {}: fault: device {} (driver vtd_attack) write of 0x1000 refused: the page is not "
         "mapped for writing (VT-d 7.1.3, reason 0x05), domain-id 3 (DMA, strict)")
MARK = "pci_cfg_write iommu-testdev 00:06.0 @0xf0 <- {:#x}\n"
# edu at 00:05.0 and behind the other unit at 22:00.0.
NEAR_SID, FAR_SID = 0x28, 0x2200


def wrote(unit, *lines):
    """Returns the trace of a write to a unit, and of what it does thereupon."""
    return "\n".join([f"vtd_unit {unit:#x} write 0x88 size 8 value 0x20", *lines, ""])


def translated(unit, *lines):
    """Returns the trace of a unit that translates after another one did."""
    return "\n".join([f"vtd_unit {unit:#x} translates", *lines, ""])


def refused(sid):
    return f"vtd_dmar_fault sid {sid:#x} fault 5 addr 0x1000 write 1"


def dropped(sid):
    """Returns the trace of an invalidation of a device's context entry."""
    return f"vtd_inv_desc invalidate desc type context high 0x0 low {sid << 32 | 0x30031:#x}"


def evidence(trace, log=(), marks=(), console=tuple(CONSOLE)):
    """Returns the evidence of a trace and a log; `marks` are labels."""
    records = Records()
    for number, label in enumerate(marks, 1):
        records.add(f'mark number={number} label="{label}"')
    return Evidence(records, [*console, *log], Trace.of_lines(trace.splitlines()), None, None, "vtd")


def failed(claims):
    return [why for _, why in claims if why]


def test_the_trace_is_divided_by_unit():
    """A unit has what follows its name, up to the next name, and every mark."""
    trace = Trace.of_lines((MARK.format(1) + wrote(FAR, "vtd_dmar_enable enable 1") +
                            wrote(FIRST, "vtd_dmar_enable enable 0") +
                            translated(FAR, refused(FAR_SID))).splitlines())
    assert trace.units() == {FIRST, FAR}
    assert trace.of_unit(FAR).translation() == [True]
    assert trace.of_unit(FIRST).translation() == [False]
    assert [fault.unit for fault in trace.faults()] == [FAR]
    assert trace.of_unit(FIRST).marks() == [(1, 0)]


def test_units_have_the_drivers_names():
    """The in-tree driver's names are used if vtd said none; a unit without a name is shown."""
    ours = evidence(wrote(FIRST) + wrote(0xFED92000)).units
    assert [(address, unit.name) for address, unit in ours.items()] == [
        (FAR, "dmar0"), (FIRST, "dmar1"), (0xFED92000, "the unit at 0xfed92000")]
    line = "DMAR: dmar0: reg_base_addr fed91000 ver 1:0 cap 80d2008c22260286 ecap f00f4a"
    assert klog.units([line]) == {FAR: klog.Unit("dmar0", 0x80D2008C22260286)}
    assert klog.units([line, *CONSOLE])[FIRST].name == "dmar1"
    (only,) = evidence("vtd_dmar_enable enable 1\n", console=CONSOLE[1:]).units.items()
    assert only == (None, klog.Unit("dmar1", 0x80D2008C222F0606))


def test_a_unit_that_was_not_switched_on_is_noticed():
    """The claims of a load are about each unit, also about one that the trace does not have."""
    on = ("vtd_reg_dmar_root addr 0x1000 scalable 0", "vtd_dmar_enable enable 1")
    begin, end = MARK.format(1), MARK.format(2)
    marks = ("load begin", "load end")
    good = begin + wrote(FAR, *on) + wrote(FIRST, *on) + end
    assert not failed(load.claims(evidence(good, marks=marks)))
    for bad in (begin + wrote(FIRST, *on) + end, begin + wrote(FAR, *on, *on) + end,
                begin + wrote(FAR, *on) + wrote(FIRST, *reversed(on)) + end):
        assert failed(load.claims(evidence(bad, marks=marks))), bad


def test_a_unit_that_stays_on_is_noticed():
    """Translation is off at the end in every unit, and off before the queue."""
    off = ("vtd_dmar_enable enable 0", "vtd_inv_qi_enable enabled 0")
    on = wrote(FAR, "vtd_dmar_enable enable 1") + wrote(FIRST, "vtd_dmar_enable enable 1")
    begin, end = MARK.format(1), MARK.format(2)
    both, one = (on + begin + wrote(FIRST, *off) + last + end for last in (wrote(FAR, *off), ""))
    marks = ("detach order begin", "detach order end")
    assert not failed(ending.ending(evidence(both)))
    assert not failed(detach.claims(evidence(both, marks=marks)))
    assert failed(ending.ending(evidence(one))) == ["the trace has it still on"]
    assert failed(detach.claims(evidence(one, marks=marks)))
    assert failed(ending.ending(evidence(both), stays_on=True))


def test_a_requester_belongs_to_one_unit():
    """A context entry invalidated in another unit than the one that translates is noticed."""
    walked = f"vtd_iotlb_page_update sid {FAR_SID:#x} iova 0x1000 slpte 0x3 domain 0x2"
    good = wrote(FIRST, dropped(NEAR_SID)) + wrote(FAR, dropped(FAR_SID), walked)
    bad = wrote(FIRST, dropped(NEAR_SID), dropped(FAR_SID)) + wrote(FAR, walked)
    assert not failed(serving.claims(evidence(good)))
    assert "22:00.0): ['dmar0', 'dmar1']" in failed(serving.claims(evidence(bad)))[0]


def test_a_fault_reported_of_another_unit_is_noticed():
    """The driver's line has the unit that refused."""
    trace = wrote(FAR) + translated(FIRST, refused(NEAR_SID))
    for unit, wrong in (("dmar1", 0), ("dmar0", 1)):
        line = FAULT.format(unit, "0000:00:05.0")
        assert len(failed(serving.claims(evidence(trace, [line])))) == wrong


def test_a_page_that_one_unit_keeps_is_noticed():
    """Each unit invalidates under its own domain-id what both devices of a user share."""
    marks = ("user type1 0000:00:05.0, 0000:22:00.0 begin", "user type1 0000:00:05.0, 0000:22:00.0 end")
    ids = {FIRST: 3, FAR: 7}

    def walked(unit, sid):
        return translated(unit, f"vtd_iotlb_page_update sid {sid:#x} iova 0x1000 slpte 0x3 "
                                f"domain {ids[unit]:#x}")

    def invalidated(unit, domain):
        return wrote(unit, f"vtd_inv_desc invalidate desc type iotlb high 0x1000 "
                           f"low {domain << 16 | 0x32:#x}")

    def wrong(*invalidations, rounds=60):
        one = (walked(FIRST, NEAR_SID) + walked(FAR, FAR_SID) + "".join(invalidations)
               + translated(FIRST, refused(NEAR_SID)))
        trace = MARK.format(1) + one * rounds + MARK.format(2)
        return failed(units.claims(evidence(trace, marks=marks)))

    both = invalidated(FIRST, ids[FIRST]), invalidated(FAR, ids[FAR])
    assert not wrong(*both)
    assert "has it cached for far edu" in wrong(both[0])[0]
    assert "has it cached for edu" in wrong(both[1])[0]
    assert wrong(both[0], invalidated(FAR, ids[FIRST])) and wrong(both[0], invalidated(FIRST, ids[FAR]))
    assert "only 50 refusals" in wrong(*both, rounds=50)[0]


def test_the_storming_device_is_dropped_from_its_own_unit():
    """Its context entry has to go where the faults are."""
    marks = ("fault storm begin", "fault storm end")
    for unit, wrong in ((FAR, 0), (FIRST, 1)):
        trace = (MARK.format(1) + translated(FAR, refused(FAR_SID)) + wrote(unit, dropped(FAR_SID))
                 + MARK.format(2))
        assert len(failed(fault.claims(evidence(trace, marks=marks)))) == wrong


def test_an_error_of_the_queue_that_remains_is_noticed():
    """It happens once, in the unit that the guest names, and is cleared after that."""
    marks = ("queue-error wait-ite of dmar0 begin", "queue-error wait-ite of dmar0 end")
    clear = "vtd_reg_write addr 0x34 size 0x4 value 0x60"

    def wrong(*parts):
        trace = MARK.format(1) + "".join(parts) + MARK.format(2)
        return len(failed(queue_errors.claims(evidence(trace, marks=marks))))

    def error(unit, bit=0x40):
        return f"vtd_unit {unit:#x} error {bit:#x} source 0x0\n"

    assert not wrong(error(FAR), wrote(FAR, clear))
    assert not wrong(error(FAR), wrote(FAR, clear), translated(FIRST, refused(NEAR_SID)))
    assert wrong(error(FAR)) == 1 and wrong(wrote(FAR, clear), error(FAR)) == 1
    assert wrong(error(FAR), error(FAR), wrote(FAR, clear)) == 1
    assert wrong(wrote(FIRST), wrote(FAR, clear)) == 2
    assert wrong(error(FIRST), wrote(FAR, clear)) == wrong(error(FAR, 0x20), wrote(FAR, clear)) == 2
    assert wrong(error(FAR), wrote(FIRST, clear)) == 1
    assert wrong(error(FAR), wrote(FAR, clear, refused(FAR_SID).replace("fault 5", "fault 1"))) == 1


def structures(raw):
    """Returns (kind, bytes) of each structure of a DMAR."""
    found, at = [], 48
    while at < len(raw):
        kind, length = struct.unpack_from("<HH", raw, at)
        found.append((kind, raw[at:at + length]))
        at += length
    return found


@pytest.mark.parametrize("name", machines.several())
def test_firmware_lists_the_unit_with_the_rest_last(name):
    """As on real machines; the checksum is right, and each unit has its own address."""
    raw = machines.ALL[name].dmar()
    assert not sum(raw) & 0xFF and len(raw) == int.from_bytes(raw[4:8], "little")
    units = [struct.unpack_from("<BBHQ", body, 4) for kind, body in structures(raw) if kind == 0]
    assert [flags for flags, *_ in units] == [0] * (len(units) - 1) + [acpi.INCLUDE_PCI_ALL]
    assert units[-1][3] == acpi.UNIT_BASE and len({base for *_, base in units}) == len(units)


def test_the_servers_table_by_hand():
    """Bridges with everything below them; root ports with ATS; a node for each unit."""
    kinds = structures(machines.SERVER.dmar())
    assert [kind for kind, _ in kinds] == [0, 0, 2, 5, 3, 3]
    far, ports = kinds[0][1], kinds[2][1]
    scopes = bytes.fromhex("0208000000200000" "0208000000200100" "0208000000200200"
                           "0208000000200300")
    assert far == bytes.fromhex("0000" "3000" "00" "00" "0000" "0010d9fe00000000") + scopes
    assert ports == bytes.fromhex("0200" "2800" "00" "00" "0000") + scopes
    assert kinds[3][1] == bytes.fromhex("0500" "1000" "00" "00" "0000" "0108000000000400")
    assert kinds[4][1] == bytes.fromhex("0300" "1400" "00000000" "0010d9fe00000000" "00000000")


@pytest.mark.parametrize("name", machines.several())
def test_units_are_before_the_devices_that_look_for_them(name, tmp_path):
    """Root buses, units, devices."""
    words = [word for word in machines.ALL[name].devices(tmp_path, devices.standard)
             if not word.startswith("-")]
    kinds = [word.split(",")[0] for word in words if "=" in word]
    last = len(kinds) - kinds[::-1].index("vtd-unit")
    assert set(kinds[:last]) <= {"pxb-pcie", "vtd-unit"} and "pxb-pcie" not in kinds[last:]


def test_an_unknown_machine_is_a_sentence():
    """It has the names that there are."""
    with pytest.raises(LabError, match=r"no machine 'serv' \(did you mean server\?\); there are "
                                       "standard, server, client"):
        machines.get("serv")
    with pytest.raises(LabError, match="no machine 'standard'; there are server, client"):
        machines.several("standard")
