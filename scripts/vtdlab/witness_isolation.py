# SPDX-License-Identifier: GPL-2.0
"""The second witness of the tests about isolation; see witness.py."""

from vtdlab import devices, decoder
from vtdlab.witness import brackets

PASS_THROUGH_ID = 1     # src/unit/translation/domain_ids.rs
PSI = 1 << 39           # of CAP: page-selective invalidation
LAZY = ("sysfs", "lazy-1", "lazy=1", "iommu.strict=0")


def _changes_nothing(brackets):
    """A refused request between these marks submits no descriptor."""
    for name, trace in brackets:
        found = trace.descriptors()
        yield f"{name}: no invalidation", (
            f"the trace has {len(found)}, the first {found[0]}" if found else "")


def limited_unit(evidence):
    """An incompatible domain is refused before anything changes."""
    yield from _changes_nothing(brackets(evidence, "limited-unit "))


def ownership(evidence):
    """A mixture is refused before anything changes; a device is blocked during its reset."""
    found = list(brackets(evidence, "ownership "))
    yield from _changes_nothing(pair for pair in found if pair[0] != "ownership reset")
    for _, trace in (pair for pair in found if pair[0] == "ownership reset"):
        kinds = trace.descriptor_kinds()
        yield "the reset blocked the device", (
            "" if kinds["context-device"] else f"the trace has {dict(kinds)}")


def _windows(evidence):
    """Checks how long a page just unmapped stayed reachable, for each policy."""
    found = {}
    for record in evidence.records.of("window"):
        found.setdefault(record["policy"], []).append((record.number("hits"),
                                                       record.number("last-us")))
    for policy, windows in found.items():
        longest = max(us for _, us in windows)
        hits = sum(count for count, _ in windows)
        yield (f"{policy}: after {len(windows)} unmaps {hits} writes landed, the last of them "
               f"{longest} us late"), (
                   "" if bool(hits) == (policy in LAZY) else "another policy was chosen")


def strict(evidence):
    """Strict flushes pages in each unmap; lazy flushes a whole domain later."""
    for name, whole in brackets(evidence, "strict window "):
        *_, bdf, policy = name.split()
        unit, trace = evidence.of_device(whole, bdf)
        kinds = trace.descriptor_kinds()
        late = policy in LAZY
        good = (kinds["iotlb-domain"] and not kinds["iotlb-pages"] if late
                else kinds["iotlb-pages" if unit.cap & PSI else "iotlb-domain"])
        yield f"{name}: flushed {'later, as a whole' if late else 'immediately'} in {unit.name}", (
            "" if good else f"the trace has {dict(kinds)}")
    yield from _windows(evidence)


def lazy(evidence):
    """Every window is ended by a flush of the whole domain."""
    for number, (_, trace) in enumerate(brackets(evidence, "lazy window")):
        kinds = trace.descriptor_kinds()
        yield f"lazy window {number}: flushed later, as a whole", (
            "" if kinds["iotlb-domain"] and not kinds["iotlb-pages"]
            else f"the trace has {dict(kinds)}")
    yield from _windows(evidence)


def hold(evidence):
    """Strict flushes pages before the page is free; a deferred flush is of the whole domain."""
    for number, (name, trace) in enumerate(brackets(evidence, "hold freed ")):
        kinds = trace.descriptor_kinds()
        late = name.split()[-1] != "strict"
        good = (kinds["iotlb-domain"] and not kinds["iotlb-pages"] if late
                else kinds["iotlb-pages"] and not kinds["iotlb-domain"])
        yield f"{name}, {number}: flushed {'later, as a whole' if late else 'immediately'}", (
            "" if good else f"the trace has {dict(kinds)}")
    for record in evidence.records.of("freed"):
        landed = record["landed"] == "1"
        yield f"{record['policy']}: a page that was freed, reused={record['reused']}", (
            "it was reached" if landed and record["policy"] != "hold=0" else "")
    yield from _kinds_of_memory(evidence)


def _kinds_of_memory(evidence):
    """What is counted as held was not invalidated by its unmap; what is counted as flushed was."""
    said = {record["name"]: record for record in evidence.records.of("kind")}
    for name, whole in brackets(evidence, "hold kind "):
        record = said[name.split()[-1]]
        unit, trace = evidence.of_device(whole, record["bdf"])
        kinds = trace.descriptor_kinds()
        late = record["counter"] == "held-pages"
        found = kinds["iotlb-pages" if unit.cap & PSI or late else "iotlb-domain"]
        wanted = 0 if late else record.number("grew")
        good = found == wanted if unit.cap & PSI or late else found >= wanted
        yield f"{name}: {'held' if late else 'flushed'}, as {record['counter']} says", (
            "" if good else f"the trace has {dict(kinds)}, and the counter has grown by "
                            f"{record['grew']}")


def reserved(evidence):
    """A removed device is blocked after its domain, and never passes through in between."""
    sid = devices.RESERVED.sid
    for name, trace in brackets(evidence, "reserved removed"):
        old = [decoder.field(low, 16, 16) for low, high in trace.descriptors()
               if decoder.descriptor_kind(low, high) == "context-device"
               and decoder.field(low, 32, 16) == sid]
        yield f"{name}: its context entry was cleared, and never let it pass", (
            "" if old and PASS_THROUGH_ID not in old
            else f"the trace has invalidations of its entry under the domain-ids {old}")


BY_TEST = {function.__name__.replace("_", "-"): function
           for function in (limited_unit, ownership, strict, lazy, hold, reserved)}
BY_TEST["hold-lifetime"] = _kinds_of_memory
