# SPDX-License-Identifier: GPL-2.0
"""The parts of `make run`, each with its claims."""

import re

from vtdlab import devices, klog, decoder
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
PAGE = ~0xFFF
WORDS = 30
REASON = {True: 5, False: 6}


def _log_of(evidence, label):
    """Returns the kernel's log between the mark of this label and the next."""
    for mark, found in evidence.records.marks().items():
        if found == label:
            return klog.between(evidence.console, mark, mark + 1)
    return []


def _name(bdf):
    for device in devices.ALL:
        if device.bdf == bdf:
            return device.name
    return ""


def units(report, evidence):
    """1. The remapping units, and the devices they serve."""
    records = evidence.records
    report.heading("1. Remapping units and the devices they serve")
    for unit in records.of("unit"):
        cap, ecap = int(unit["cap"] or "0", 16), int(unit["ecap"] or "0", 16)
        report.line(f"  {unit['name']}: VT-d {unit['version']} at {unit['address']}, serving "
                    f"{unit['devices']} devices, {unit['domains_used']} of "
                    f"{unit['domains_supported']} domain ids in use")
        report.table(decoder.capabilities(cap, ecap), indent=4)
    report.line()
    report.table([(d["bdf"], d["group"], d["type"], d["driver"], _name(d["bdf"]))
                  for d in records.of("device")],
                 header=("device", "group", "domain", "driver", "what it is"))
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
    report.check(bool(records.of("unit")), "a remapping unit is registered",
                 "/sys/class/iommu holds none")
    types = {d["bdf"]: d["type"] for d in records.of("device")}
    wrong = [f"{d.bdf} has {types.get(d.bdf, 'no group')}" for d in devices.ALL
             if not types.get(d.bdf, "").startswith("DMA")]
    report.check(not wrong, "every device under test is in a DMA domain", "; ".join(wrong))
    report.check(evidence.trace.translation()[:1] == [True],
                 "QEMU's trace shows translation switched on")


def data(report, evidence):
    """2. Ordinary work through the domains."""
    report.heading("2. Data through DMA domains")
    rows, claims = [], []
    for io in evidence.records.of("io"):
        trace, _ = evidence.window(io)
        device = next(d for d in devices.ALL if d.bdf == io["bdf"])
        walks = [e for e in trace.named("vtd_iotlb_page_update") if e.value("sid") == device.sid]
        seconds = float(io["end"] or 0) - float(io["start"] or 0)
        good, why = _judge_io(io, evidence, len(walks))
        what = ("mkfs.ext4, 64 MiB written, caches dropped, read back" if io["kind"] == "disk"
                else "16 MiB fetched over TCP and sent back")
        rows.append((device.name, io["bdf"], what, f"{seconds:.1f} s", number(len(walks)),
                     (io["read"] or io["fetched"])[:16]))
        claims.append((good, f"{device.name}: checksums equal, and the unit translated for it", why))
    report.table(rows, header=("device", "at", "work", "time", "walks", "sha256"))
    report.line()
    for claim in claims:
        report.check(*claim)
    report.check(len(rows) == 3, "three devices did their work", f"only {len(rows)} did")


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
        why = judge_attack(attack, seen, reported)
        text = ATTACKS.get(attack["scenario"], attack["scenario"])
        did = "landed" if attack["landed"] == "1" else "refused"
        rows.append((attack["kind"], text, attack["iova"], did,
                     f"reason {reported[0].reason:#04x}" if reported else "-",
                     f"reason {seen[0].reason:#04x}" if seen else "-"))
        reports += [fault.line for fault in reported]
        must = ("reaches the page" if attack["expect"] == "landed"
                else "is refused, and both say why")
        claims.append((not why, f"{attack['kind']}: {text} {must}", why))
    report.table(rows, header=("device", "attempt", "address", "result", "driver", "trace"))
    if reports:
        report.line()
        report.line("  The driver's log:")
        for line in reports:
            report.line(f"    {line.split('] ', 1)[-1].strip()}")
    report.line()
    for claim in claims:
        report.check(*claim)
    refused = sum(a["expect"] == "refused" for a in evidence.records.of("attack"))
    report.check(refused >= 9, "all attacks were made", f"only {refused} were")


def judge_attack(attack, seen, reported):
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
    expected = (write, address, REASON[write])
    for who, faults in (("QEMU's trace", seen), ("the driver's log", reported)):
        if len(faults) != 1:
            return f"{who} has {len(faults)} faults of the device where there was one attack"
        got = (faults[0].write, faults[0].address & PAGE, faults[0].reason)
        if got != expected:
            return f"{who} has {faults[0]}"
    return ""


def closing(report, evidence):
    """4. The totals, and what must hold at the end."""
    report.heading("4. Sums")
    trace = evidence.trace
    totals = _totals(evidence.records)
    kinds = trace.descriptor_kinds()
    moved = sum((io.number("moved") or 0) * 2 if io["kind"] == "disk" else 32 << 20
                for io in evidence.records.of("io") if io["result"] == "ok")
    recorded = len(trace.named("vtd_frr_new"))
    first, last = _bounds(evidence)
    rows = [("data moved and verified", size(moved), "")]
    rows += [(name.replace("-", " "), number(totals[name]), "") for name in totals
             if name not in ("descriptors", "faults")]
    rows += [("descriptors submitted", number(totals.get("descriptors")), number(first)),
             ("faults", number(totals.get("faults")), number(recorded))]
    report.table(rows, header=("", "driver", "QEMU's trace"))
    report.line()
    report.table(sorted(kinds.items(), key=lambda kind: -kind[1]),
                 header=("descriptors by kind, whole run", "QEMU's trace"))
    report.line()
    if evidence.driver == "vtd":
        _compare_totals(report, totals, first, last, recorded)
    log_is_clean(report, evidence)


def _totals(records):
    totals = {}
    for record in records.of("statistics"):
        for name in record.values:
            if name != "unit" and record.number(name) is not None:
                totals[name] = totals.get(name, 0) + record.number(name)
    return totals


def _bounds(evidence):
    """Returns how many descriptors the trace has before and after the counters were read."""
    labels = {label: mark for mark, label in evidence.records.marks().items()}
    places = dict(evidence.trace.marks())
    events = evidence.trace.events
    return tuple(sum(e.name == "vtd_inv_desc" for e in events[:places.get(labels.get(label), 0)])
                 for label in ("statistics", "statistics read"))


def _compare_totals(report, totals, first, last, recorded):
    count = totals.get("descriptors")
    report.check(count is not None and first <= count <= last,
                 "driver and trace agree on the descriptors",
                 f"the driver says {number(count)}, the trace {first:,} to {last:,}")
    report.check(totals.get("faults") == recorded, "driver and trace agree on the faults",
                 f"the driver says {number(totals.get('faults'))}, the trace {recorded}")
    report.check((totals.get("maps") or 0) > 0 and (totals.get("unmaps") or 0) > 0,
                 "mappings were made and undone", "the driver counted none")


def log_is_clean(report, evidence):
    """Checks what must hold for every guest."""
    found = klog.complaints(evidence.console)
    report.check(not found, "no warning, bug or oops in the kernel log",
                 f"{len(found)}, the first: {found[0] if found else ''}")
    problems = [record["text"] for record in evidence.records.of("problem")]
    report.check(not problems, "no step of the guest had a problem", "; ".join(problems))
    report.check(evidence.trace.translation()[-1:] == [False],
                 "translation is off when the machine stops")
    bye = evidence.records.of("bye")
    good = evidence.outcome.ending == "poweroff" and bye and bye[0]["status"] == "0"
    report.check(bool(good), "the guest came to its end and powered off",
                 evidence.outcome.detail or "its job failed: see out/run/console.log")


PARTS = (units, data, attacks, closing)
