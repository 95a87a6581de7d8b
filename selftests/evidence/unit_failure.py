# SPDX-License-Identifier: GPL-2.0
"""A failed unit has dropped its caches, and refuses all requests."""

from evidence.common import brackets

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


def claims(evidence):
    """Yields (claim, why not) pairs."""
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
