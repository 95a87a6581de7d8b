# SPDX-License-Identifier: GPL-2.0
"""The parts of `make run`, each with its claims."""

import re

from vtdlab.evidence import decoder, faultline, klog, serving
from vtdlab.guest import devices
from vtdlab.report import number, size

ATTACKS = {
    "allowed-write": "write to a page mapped for both",
    "allowed-read": "read from a page mapped for reading",
    "read-only": "write to a page mapped read-only",
    "write-only": "read from a page mapped write-only",
    "never-mapped": "write to a page never mapped",
    "never-mapped-read": "read from a page never mapped",
    "unmapped": "write to a page mapped, used, unmapped",
    "unmapped-read": "read from a page mapped, used, unmapped",
}
# How many of them each device of a kind must be refused.
REFUSED = {"edu": 6, "iommu-testdev": 3}
PAGE = ~0xFFF
WORDS = 30
REASON = {True: 5, False: 6}
WRONG_SOURCE = 0x26


def _log_of(evidence, label):
    """Returns the kernel's log between the mark of this label and the next."""
    for mark, found in evidence.records.marks().items():
        if found == label:
            return klog.between(evidence.console, mark, mark + 1)
    return []


def _name(bdf):
    return next((device.name for device in devices.NAMED if device.bdf == bdf), "")


def _capabilities(report, found):
    """Shows the capabilities of each unit in a column."""
    columns = [decoder.capabilities(int(unit["cap"] or "0", 16), int(unit["ecap"] or "0", 16))
               for unit in found]
    report.table([(rows[0][0], *(words for _, words in rows)) for rows in zip(*columns)],
                 header=("", *(unit["name"] for unit in found)) if len(found) > 1 else None,
                 indent=4)


def units(report, evidence):
    """1. The remapping units, and the devices they serve."""
    records = evidence.records
    report.heading("1. Remapping units and the devices they serve")
    for unit in records.of("unit"):
        report.line(f"  {unit['name']}: VT-d {unit['version']} at {unit['address']}, serving "
                    f"{unit['devices']} devices, {unit['domains_used']} of "
                    f"{unit['domains_supported']} domain ids in use")
    _capabilities(report, records.of("unit"))
    report.line()
    report.table([(d["bdf"], d["unit"], d["group"], d["type"], d["driver"], _name(d["bdf"]))
                  for d in sorted(records.of("device"), key=lambda record: record["bdf"])],
                 header=("device", "unit", "group", "domain", "driver", "what it is"))
    words = [line.split("] ", 1)[-1].strip() for line in _log_of(evidence, "load")
             if re.search(r"\bvtd:|\bvtd ", line)]
    if words:
        report.line()
        report.line("  The driver's log while loading:")
        for line in words[:WORDS]:
            report.line(f"    {line}")
        if len(words) > WORDS:
            report.line(f"    ... and {len(words) - WORDS} lines more in console.log")
    report.line()
    for load in records.of("load"):
        report.check(load["result"] == "ok", "vtd.ko loads before the devices' drivers", load["why"])
    wanted, found = 1 + len(evidence.machine.units), len(records.of("unit"))
    report.check(found == wanted, "every remapping unit is registered",
                 f"/sys/class/iommu holds {found} of {wanted}")
    types = {d["bdf"]: d["type"] for d in records.of("device")}
    tested = (*devices.ALL, *evidence.machine.tested)
    wrong = [f"{d.bdf} has {types.get(d.bdf, 'no group')}" for d in tested
             if not types.get(d.bdf, "").startswith("DMA")]
    report.check(not wrong, "every device under test is in a DMA domain", "; ".join(wrong))
    on = {name: trace.translation() for name, trace in evidence.by_unit(evidence.trace)}
    wrong = [name for name, found in on.items() if found[:1] != [True]]
    report.check(not wrong, "QEMU's trace shows translation switched on in every unit",
                 f"not in {', '.join(wrong)}")


def data(report, evidence):
    """2. Ordinary work through the domains."""
    report.heading("2. Data through DMA domains")
    rows, claims = [], []
    for io in evidence.records.of("io"):
        trace, _ = evidence.window(io)
        name, sid = _name(io["bdf"]), devices.source_id(io["bdf"])
        walks = [e for e in trace.named("vtd_iotlb_page_update") if e.value("sid") == sid]
        by = sorted({evidence.units[event.unit].name for event in walks})
        seconds = float(io["end"] or 0) - float(io["start"] or 0)
        good, why = _judge_io(io, evidence, len(walks))
        what = ("mkfs.ext4, 64 MiB written, caches dropped, read back" if io["kind"] == "disk"
                else "16 MiB fetched over TCP and sent back")
        rows.append((name, io["bdf"], what, f"{seconds:.1f} s", number(len(walks)),
                     ", ".join(by), (io["read"] or io["fetched"])[:16]))
        claims.append((good, f"{name}: checksums equal, and its unit translated for it", why))
    report.table(rows, header=("device", "at", "work", "time", "walks", "by", "sha256"))
    report.line()
    for claim in claims:
        report.check(*claim)
    wanted = 3 + len(evidence.machine.disks)
    report.check(len(rows) == wanted, "every disk and the NIC did their work",
                 f"only {len(rows)} of {wanted} did")


def _judge_io(io, evidence, walks):
    # A command that complained and succeeded may not have done its work.
    if io["result"] != "ok" or io["why"]:
        return False, io["why"]
    if not walks:
        return False, "the trace shows no translation for it"
    if io["kind"] == "disk":
        moved = io.number("moved") or 0
        if moved < (io.number("bytes") or 1):
            return False, f"only {size(moved)} came from the disk; the rest was cached"
        return io["wrote"] == io["read"] != "", "the checksums differ"
    same = io["fetched"] in evidence.server.sent and io["fetched"] in evidence.server.received
    return same, f"the guest has {io['fetched'][:16]}, which the host did not send or receive"


def attacks(report, evidence):
    """3. Accesses that devices must not make."""
    report.heading("3. Attacks: what happened, what the driver reported, what QEMU saw")
    rows, claims, reports = [], [], []
    for attack in evidence.records.of("attack"):
        trace, log = evidence.window(attack)
        seen = [f for f in trace.faults() if f.sid == devices.source_id(attack["device"])]
        reported = [f for f in klog.faults(log) if f.bdf == attack["device"]]
        why = judge_attack(attack, seen, reported, evidence.units)
        text = ATTACKS.get(attack["scenario"], attack["scenario"])
        did = "landed" if attack["landed"] == "1" else "refused"
        unit = evidence.units[seen[0].unit].name if seen else ""
        rows.append((attack["kind"], attack["device"], text, attack["iova"], did, unit or "-",
                     f"reason {reported[0].reason:#04x}" if reported else "-",
                     f"reason {seen[0].reason:#04x}" if seen else "-"))
        reports += [fault.line for fault in reported]
        must = ("reaches the page" if attack["expect"] == "landed"
                else "is refused, and both say why")
        claims.append((not why, f"{attack['kind']} {attack['device']}: {text} {must}", why))
    report.table(rows, header=("device", "at", "attempt", "address", "result", "by", "driver",
                               "trace"))
    if reports:
        report.line()
        report.line("  The driver's log:")
        for line in reports:
            report.line(f"    {line.split('] ', 1)[-1].strip()}")
    report.line()
    for claim in claims:
        report.check(*claim)
    refused = sum(a["expect"] == "refused" for a in evidence.records.of("attack"))
    wanted = sum(count for kind, count in REFUSED.items()
                 for device in (*devices.ALL, *evidence.machine.tested) if kind in device.name)
    # A first stage permits such a read.
    wanted -= sum(a["scenario"] == "write-only" and a["stage"] == "first"
                  for a in evidence.records.of("attack"))
    for claim, why in serving.claims(evidence):
        report.check(not why, claim, why)
    report.check(refused >= wanted, "all attacks were made", f"only {refused} of {wanted} were")


def _reason(attack, write):
    """Returns the reason of a refusal. That of a first stage depends on whether the page is present."""
    if attack["stage"] == "first":
        return 0x85 if attack["scenario"] == "read-only" else 0x71
    return REASON[write]


def judge_attack(attack, seen, reported, units):
    """Returns why an attack's outcome is wrong; empty if it is right."""
    if attack["error"] != "0":
        return f"the attempt failed with {attack['error'] or 'no result'}"
    if attack["expect"] == "landed":
        return ("" if attack["landed"] == "1" else "the data did not arrive") or \
               (f"a fault was raised: {seen[0]}" if seen else "")
    if attack["landed"] != "0" or attack["intact"] != "1":
        return "the device reached the page"
    if attack["scenario"].startswith("unmapped") and attack["warm"] != "1":
        return "the device could not use the page before it was unmapped"
    write, address = attack["access"] == "write", (attack.number("iova") or 0) & PAGE
    expected = (write, address, _reason(attack, write))
    for who, faults in (("QEMU's trace", seen), ("the driver's log", reported)):
        if len(faults) != 1:
            return f"{who} has {len(faults)} faults of the device where there was one attack"
        got = (faults[0].write, faults[0].address & PAGE, faults[0].reason)
        if got != expected:
            return f"{who} has {faults[0]}"
    unit = units[seen[0].unit].name
    if reported[0].unit not in (None, unit):
        return f"{unit} refused it, the driver's log names {reported[0].unit}"
    return ""


# In the order of the table: the mode, its name there, what a page that was freed meets.
FREED = (
    ("lazy", "lazy, not held (hold=0)", "the next one that asks", "another owner's page"),
    ("held", "lazy", "no one", "a page without owner"),
    ("strict", "strict", "the next one that asks", "nothing: refused"),
)


def _freed_outcome(record):
    """Returns who got the page before the device's write, and where that landed."""
    who = "the next one that asks" if record["reused"] not in ("0", "") else "no one"
    where = {("1", "0"): "another owner's page", ("0", "1"): "a page without owner",
             ("0", "0"): "nothing: refused"}
    return who, where.get((record["landed"], record["stale"]), "unknown")


def freed(report, evidence):
    """5. Pages that are unmapped and freed while a device has their address."""
    report.heading("5. A page is unmapped and freed, and the device writes to its address")
    found = {record["mode"]: record for record in evidence.records.of("freed")}
    rows, claims = [], []
    for mode, name, who, where in FREED:
        if mode == "held" and evidence.driver != "vtd":
            continue
        record = found.get(mode)
        if record is None or record["error"] != "0" or record["warm"] != "1":
            claims.append((False, f"{name}: a page was freed and attacked",
                           f"error={record['error']}" if record else "it was not"))
            continue
        got = _freed_outcome(record)
        back = (record.number("back-us") or 0) / 1000
        rows.append((name, got[0], got[1], f"{back:.1f} ms"))
        claims.append((got == (who, where), f"{name}: {who} gets the page, and the write reaches "
                       f"{where}", f"{got[0]} got it, and the write reached {got[1]}"))
    report.table(rows, header=("mode", "who gets the page", "the write reaches",
                               "the page was free after"))
    report.line()
    for claim in claims:
        report.check(*claim)


def interrupts(report, evidence):
    """4. An interrupt that a device forges."""
    if evidence.driver != "vtd":
        return
    report.heading("4. Interrupts")
    for forged in evidence.records.of("interrupt"):
        trace, log = evidence.window(forged)
        report.line(f"  {forged['unit']}")
        report.line(f"  {forged['attacker']} sent the request that names entry {forged['entry']}, "
                    f"which is {forged['owner']}'s")
        reported = [fault for fault in map(faultline.logged, log) if fault and not fault.access]
        report.line("  The driver's log:")
        for fault in reported:
            report.line(f"    fault: {fault}")
        report.line()
        report.check(forged.number("in-use") and forged.number("before"),
                     "the disk's interrupts are remapped", f"{forged['in-use']} entries are in use")
        seen = [(event.value("high") >> 32 & 0xff, event.value("high") & 0xffff)
                for event in trace.named("vtd_frr_new")]
        report.check(seen == [(WRONG_SOURCE, devices.EDU.sid)],
                     "QEMU's trace shows that the forged one was refused", f"it has {seen}")
        logged = [(fault.bdf, fault.reason) for fault in reported]
        report.check(logged == [(forged["attacker"], WRONG_SOURCE)], "the driver reported it once",
                     f"it reported {logged}")
        report.check(forged["before"] == forged["after"], "the disk's driver handled none",
                     f"{forged['before']} before, {forged['after']} after")
    report.check(len(evidence.records.of("interrupt")) == 1, "one interrupt was forged")


def _modes(evidence, label):
    """Returns each unit's mode, as the log of a load says it."""
    found = (re.search(r"vtd: (\S+): ((?:scalable|legacy) mode\b.*)", line)
             for line in _log_of(evidence, label))
    return {match[1]: match[2] for match in found if match}


def modes(report, evidence):
    """6. Scalable mode, if a unit has it, and legacy mode."""
    if evidence.driver != "vtd":
        return
    report.heading("6. Either mode of the units")
    before, after = (_modes(evidence, label) for label in ("load", "load again"))
    rows = [(name, mode, after.get(name, "none")) for name, mode in before.items()]
    claims = []
    first = {(record["device"], record["scenario"]): record for record in evidence.records.of("attack")}
    for again in evidence.records.of("again"):
        trace, log = evidence.window(again)
        seen = [f for f in trace.faults() if f.sid == devices.source_id(again["device"])]
        reported = [f for f in klog.faults(log) if f.bdf == again["device"]]
        text = f"edu: {ATTACKS.get(again['scenario'], again['scenario'])}"
        did = ("landed" if record and record["landed"] == "1" else "refused"
               for record in (first.get((again["device"], again["scenario"])), again))
        rows.append((text, *did))
        why = judge_attack(again, seen, reported, evidence.units)
        must = "reaches the page" if again["expect"] == "landed" else "is refused"
        claims.append((not why, f"{text} {must} in legacy mode, too", why))
    report.table(rows, header=("", "as loaded first", "loaded with scalable=0"))
    if not any(mode.startswith("scalable") for mode in before.values()):
        report.line("  No unit of this machine has scalable mode; IOMMU=scalable-mode=on gives it to one.")
    report.line()
    for claim in claims:
        report.check(*claim)
    wrong = [name for name in before if not after.get(name, "").startswith("legacy")]
    report.check(before and not wrong, "loaded with scalable=0, every unit is in legacy mode",
                 f"not {', '.join(wrong) or 'one'}")
    report.check(len(claims) == 4, "these attacks were made in legacy mode", f"only {len(claims)} of 4")


def closing(report, evidence):
    """7. The totals of each unit, and what must hold at the end."""
    report.heading("7. Sums")
    moved = sum((io.number("moved") or 0) * 2 if io["kind"] == "disk" else 32 << 20
                for io in evidence.records.of("io") if io["result"] == "ok")
    report.line(f"  {size(moved)} moved and verified")
    report.line()
    found = [_Sums(evidence, *unit) for unit in evidence.by_unit(evidence.trace)]
    _sums(report, found)
    report.line()
    kinds = evidence.trace.descriptor_kinds()
    report.table([(kind, *(unit.kinds[kind] for unit in found))
                  for kind, _ in kinds.most_common()],
                 header=("descriptors in the trace, whole run", *(unit.name for unit in found)))
    report.line()
    if evidence.driver == "vtd":
        for unit in found:
            _compare(report, unit)
        mapped = [unit for unit in found if unit.counted.get("maps") and unit.counted.get("unmaps")]
        report.check(bool(mapped), "mappings were made and undone", "the driver counted none")
    log_is_clean(report, evidence)


class _Sums:
    """What the driver and the trace say of one unit."""

    def __init__(self, evidence, name, trace):
        self.name, self.kinds = name, trace.descriptor_kinds()
        self.counted = {word: record.number(word) for record in evidence.records.of("statistics")
                        if record["unit"] == name or None in evidence.units
                        for word in record.values if record.number(word) is not None}
        # The descriptors before and after the counters were read, and the faults until then.
        labels = {label: mark for mark, label in evidence.records.marks().items()}
        places = dict(trace.marks())
        before, after = (trace.events[:places.get(labels.get(label), 0)]
                         for label in ("statistics", "statistics read"))
        self.first, self.last = (sum(e.name == "vtd_inv_desc" for e in events)
                                 for events in (before, after))
        self.faults = sum(e.name == "vtd_frr_new" for e in after)


def _sums(report, found):
    """Shows each counter of each unit, and what the trace has of it."""
    total = sum(unit.first for unit in found) or 1
    names = list(dict.fromkeys(name for unit in found for name in unit.counted
                               if not name.startswith(("held-", "flushed-"))))
    seen = {"descriptors": lambda unit: number(unit.first), "faults": lambda unit: number(unit.faults)}
    rows = [(name.replace("-", " "), *(cell for unit in found for cell in (
        number(unit.counted.get(name)), seen.get(name, lambda _: "")(unit)))) for name in names]
    if len(found) > 1:
        rows.append(("share of descriptors", *(cell for unit in found for cell in (
            "", f"{100 * unit.first / total:.1f} %"))))
    report.table(rows, header=("", *(cell for unit in found for cell in (unit.name, "trace"))))


def _compare(report, unit):
    count, faults = unit.counted.get("descriptors"), unit.counted.get("faults")
    report.check(count is not None and unit.first <= count <= unit.last,
                 f"driver and trace agree on the descriptors of {unit.name}",
                 f"the driver says {number(count)}, the trace {unit.first:,} to {unit.last:,}")
    report.check(faults == unit.faults, f"driver and trace agree on the faults of {unit.name}",
                 f"the driver says {number(faults)}, the trace {unit.faults}")


def log_is_clean(report, evidence):
    """Checks what must hold for every guest."""
    found = klog.complaints(evidence.console)
    report.check(not found, "no warning, bug or oops in the kernel log",
                 f"{len(found)}, the first: {found[0] if found else ''}")
    problems = [record["text"] for record in evidence.records.of("problem")]
    report.check(not problems, "no step of the guest had a problem", "; ".join(problems))
    on = [name for name, trace in evidence.by_unit(evidence.trace)
          if trace.translation()[-1:] != [False]]
    report.check(not on, "translation is off in every unit when the machine stops",
                 f"not in {', '.join(on)}")
    bye = evidence.records.of("bye")
    good = evidence.outcome.ending == "poweroff" and bye and bye[0]["status"] == "0"
    report.check(bool(good), "the guest came to its end and powered off",
                 evidence.outcome.detail or "its job failed: see out/run/console.log")


PARTS = (units, data, attacks, interrupts, freed, modes, closing)
