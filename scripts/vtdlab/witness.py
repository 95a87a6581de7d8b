# SPDX-License-Identifier: GPL-2.0
"""The second witness: compares a test's claims with QEMU's trace.

Each function takes the evidence of a guest and returns (claim, why not) pairs;
an empty reason means that the claim holds. Tests bracket what they do with
marks (scripts/guest/lib.sh), which divide the trace.
"""

from vtdlab import decoder, devices, klog, demo


def brackets(evidence, start):
    """Yields (name, trace) for each pair of marks "<start> NAME begin" and "... end"."""
    open_at = {}
    for mark, label in sorted(evidence.records.marks().items()):
        if not label.startswith(start):
            continue
        if label.endswith(" begin"):
            open_at[label.removesuffix(" begin")] = mark
        elif label.endswith(" end") and label.removesuffix(" end") in open_at:
            name = label.removesuffix(" end")
            yield name, evidence.trace.between(open_at[name], mark)


def parts(evidence, start):
    """Yields the same for each unit: (name, unit, the part of the trace that it is in)."""
    for name, trace in brackets(evidence, start):
        for unit, part in evidence.by_unit(trace):
            yield name, unit, part


def refusal(evidence):
    """A refused load writes no register."""
    for name, trace in brackets(evidence, "refusal "):
        if name == "refusal then load":
            continue
        writes = trace.named("vtd_reg_write")
        yield f"{name}: no register of the unit was written", (
            f"the trace has {len(writes)}, the first: {writes[0].text}" if writes else "")


def load(evidence):
    """Translation is switched on, once, after the root table is set."""
    for _, unit, trace in parts(evidence, "load"):
        yield f"{unit}: translation was switched on once", (
            "" if trace.translation() == [True] else f"the trace has {trace.translation()}")
        names = [event.name for event in trace.events]
        order = [name for name in names if name in ("vtd_reg_dmar_root", "vtd_dmar_enable")]
        yield f"{unit}: the root table was set before translation was switched on", (
            "" if order[:1] == ["vtd_reg_dmar_root"] else f"the trace has {order}")


def dma(evidence):
    """The unit translated for each device, and raised no fault."""
    for name, trace in brackets(evidence, "dma "):
        bdf = name.split()[1].rstrip(":")
        sid = devices.source_id(bdf)
        walks = sum(e.value("sid") == sid for e in trace.named("vtd_iotlb_page_update"))
        yield f"{name}: translated by the unit", "" if walks else "the trace shows no walk for it"
        faults = trace.faults()
        yield f"{name}: no fault", f"the trace has {faults[0]}" if faults else ""
        left_out = trace.named("vtd_translate_pt")
        yield f"{name}: not passed through", (
            "" if not left_out else f"the trace has {len(left_out)} accesses that were")


def attack(evidence):
    """The trace has every attempt as it was reported."""
    for record in evidence.records.of("attack"):
        trace, log = evidence.window(record)
        seen = [f for f in trace.faults() if f.sid == devices.source_id(record["device"])]
        reported = [f for f in klog.faults(log) if f.bdf == record["device"]]
        yield (f"{record['kind']}: {record['scenario']} is {record['expect']}",
               demo.judge_attack(record, seen, reported, evidence.units))


def fault(evidence):
    """The driver counted what the unit recorded; recording for a device in a storm is turned off by
    its context entry, its faults are not just ignored."""
    counted = [record.number("counted") for record in evidence.records.of("faults")]
    for name, trace in brackets(evidence, "fault "):
        if name == "fault flood":
            recorded = len(trace.named("vtd_frr_new"))
            yield f"{name}: what was recorded was counted", (
                "" if counted == [recorded] else f"{counted} counted, {recorded} recorded")
        if name == "fault storm":
            dropped = [event.unit for event in trace.named("vtd_inv_desc") if decoder.descriptor_kind(
                event.value("low"), event.value("high")) == "context-device"]
            refused = {fault.unit for fault in trace.faults()}
            yield f"{name}: its context entry was dropped from its unit's cache", (
                "" if set(dropped) == refused and len(dropped) == 1
                else f"the trace has faults in {refused}, and such invalidations in {dropped}")
        if name == "fault silence":
            yield f"{name}: the unit refused without a record", (
                "" if trace.named("vtd_fault_disabled") and not trace.named("vtd_frr_new")
                else "the trace has no fault whose recording was off, or a new record")


def events(evidence):
    """What was traced of invalidations is what the unit executed, in the same order, and all that it
    executed for the device."""
    by_queue, by_register, device = {}, {}, ""
    for record in evidence.records.of("invalidated"):
        of_kind = by_register if record["by_register"] == "1" else by_queue
        of_kind.setdefault(record["unit"], []).append(_words_of(record))
        device = record["of"].partition(":")[2]
    for name, unit, trace in parts(evidence, "events "):
        executed = [words for pair in trace.descriptors() if (words := decoder.invalidation(*pair))]
        traced, places = by_queue.pop(unit, []), range(len(executed) + 1)
        yield f"{name}: the events of {unit} are its descriptors", (
            "" if any(executed[at:at + len(traced)] == traced for at in places)
            else f"{traced} is not in {executed}")
        # The domain-ids of the device whose domain was changed: no other device has them.
        own = {words[2] for words in executed if words[3] == device}
        both = [[words for words in those if words[2] in own] for those in (executed, traced)]
        yield f"{name}: all those of {unit} for the device are events", (
            "" if both[0] == both[1] else f"executed: {both[0]}, traced: {both[1]}")
        yield f"{name}: {unit} has a queue or registers", (
            f"events of both: {traced}, {by_register[unit]}" if unit in by_register and executed else "")
    yield "each event is of a unit of the trace", f"others: {by_queue}" if by_queue else ""


def _words_of(record):
    """Returns an event of an invalidation as decoder.invalidation returns a descriptor."""
    return tuple(record[word] for word in ("cache", "scope", "domain_id", "source", "first", "order",
                                           "leaves_only"))


FAILED_BY = {"by the queue": "queue", "by registers": "registers"}


def _invalidated_by(trace):
    """How the caches of a failed unit were invalidated."""
    kinds = trace.descriptor_kinds()
    written = {event.value("addr") for event in trace.named("vtd_reg_write")}
    if trace.named("vtd_reg_dmar_root"):
        return "root table"
    if {0x28, 0xf8} <= written:
        return "registers"
    return "queue" if kinds["context-global"] and kinds["iotlb-global"] else "none"


# DR and DW, in a descriptor's lower word and in the IOTLB register.
DRAINS = {"descriptor": 3 << 6, "register": 3 << 48}


def _drains(trace):
    """Returns whether an invalidation of all translations also drained requests in flight."""
    by_queue = any(low & 0xf == 2 and low >> 4 & 3 == 1
                   and low & DRAINS["descriptor"] == DRAINS["descriptor"]
                   for low, _ in trace.descriptors())
    by_register = any(event.value("addr") == 0xf8
                      and event.value("value") & DRAINS["register"] == DRAINS["register"]
                      for event in trace.named("vtd_reg_write"))
    return by_queue or by_register


def unit_failure(evidence):
    """A failed unit has dropped its caches, and refuses all requests."""
    for name, whole in brackets(evidence, "unit-failure "):
        refusing = {fault.unit for fault in whole.faults()}
        yield f"{name}: one unit refuses", "" if len(refusing) == 1 else f"these do: {refusing}"
        if len(refusing) != 1:
            continue
        trace = whole.of_unit(*refusing)
        others = [unit for unit, part in evidence.by_unit(whole)
                  if part.named("vtd_reg_dmar_root") and unit != evidence.units[min(refusing)].name]
        yield f"{name}: no other unit gets another root table", ", ".join(others)
        wanted = FAILED_BY.get(name.partition(", ")[2], "root table")
        found = _invalidated_by(trace)
        yield f"{name}: caches are dropped by {wanted}", (
            "" if found == wanted else f"the trace has it by {found}")
        alone = name.endswith(" alone")
        yield f"{name}: requests in flight are {'not ' * alone}drained", (
            "" if _drains(trace) != alone else "the trace has it otherwise")
        reasons = {fault.reason for fault in trace.faults()}
        yield f"{name}: refused for lack of a root entry", (
            "" if reasons == {1} else f"the trace has reasons {reasons}")


def unload(evidence):
    """Translation is switched off in a detach, and on again in the next load."""
    wanted = {"unload refused": [], "unload": [False], "reload": [True]}
    for name, unit, trace in [*parts(evidence, "unload"), *parts(evidence, "reload")]:
        yield f"{name}: translation of {unit}", (
            "" if trace.translation() == wanted[name]
            else f"the trace has {trace.translation()} where {wanted[name]} was expected")


def kexec(evidence):
    """Translation is off before the next kernel starts, on again in it, and off at the end."""
    for unit, trace in evidence.by_unit(evidence.trace):
        on = trace.translation()
        yield f"{unit}: translation: on, off before the next kernel, on in it, off", (
            "" if on == [True, False, True, False] else f"the trace has {on}")


def ending(evidence, stays_on=False):
    """Translation is off when the machine is reset or switched off, unless it has to stay on."""
    for unit, trace in evidence.by_unit(evidence.trace):
        on = trace.translation()
        if on and stays_on:
            yield f"{unit}: translation is on at the end", "" if on[-1] else f"the trace has {on}"
        elif on:
            yield f"{unit}: translation is off at the end", (
                "the trace has it still on" if on[-1] else "")


def watchers(evidence):
    """The checks of the debug kernel were enabled to the end, and found nothing."""
    watch = (evidence.records.of("watch") or [None])[-1]
    lost = "".join(f"\n{record['line']}" for record in evidence.records.of("leak"))
    for what, wanted in (("locks", "lock debugging was on to the end"),
                         ("leaks", "no memory is leaked")):
        found = watch[what] if watch else ""
        good = {"locks": "1", "leaks": "0"}[what]
        said = f"the guest says {what}={found or '?'}; see console.log"
        yield wanted, "" if found == good else said + (lost if what == "leaks" else "")


def races(evidence):
    """KCSAN watched the driver's own accesses, and no race contains one."""
    said = evidence.records.of("races")
    for what, wanted in (("calls", "the driver's accesses are reported to KCSAN"),
                         ("watched", "KCSAN watched some of all accesses")):
        good = said and said[-1].number(what)
        yield wanted, "" if good else f"the guest says {what}={said[-1][what] if said else '?'}"
    ours = [report for report in klog.races(evidence.console)[0]
            if any("[vtd]" in line for line in report)]
    yield "no data race in the driver", "\n\n".join("\n".join(report) for report in ours)


BY_TEST = {function.__name__.replace("_", "-"): function for function in (refusal, load, dma, attack, fault, events, unit_failure,
                                                unload, kexec)}
