# SPDX-License-Identifier: GPL-2.0
"""What was traced of invalidations is what the unit executed, in the same order, and all that it
executed for the device."""

from evidence.common import parts
from vtdlab.evidence import decoder


def claims(evidence):
    """Yields (claim, why not) pairs."""
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
    return tuple(record[word] for word in ("cache", "scope", "domain_id", "source", "pasid", "first",
                                           "order", "leaves_only"))
