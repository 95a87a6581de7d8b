# SPDX-License-Identifier: GPL-2.0
"""QEMU's trace of a unit whose invalidation queue reports an error, or stops; and of a requester that
sends what ordinary devices do not.

Like witness.py: functions of the evidence that return (claim, why not) pairs.
"""

from vtdlab import devices
from vtdlab.witness import brackets, unit_failure

FSTS = 0x34
ERRORS = {"wait-ite": 1 << 6, "wait-ice": 1 << 5}


def queue_errors(evidence):
    """A unit discards a wait once, and the driver clears the error; or the unit has failed."""
    for name, whole in brackets(evidence, "queue-error "):
        _, error, _, unit = name.split()
        bit = ERRORS[error]
        trace = dict(evidence.by_unit(whole))[unit]
        happened = [event.number for event in trace.named("vtd_unit")
                    if " error " in event.text and event.value("error") == bit]
        cleared = [event.number for event in trace.named("vtd_reg_write")
                   if event.value("addr") == FSTS and event.value("value") & bit]
        yield f"{name}: the unit discarded one wait", (
            "" if len(happened) == 1 else f"the trace has {len(happened)}")
        yield f"{name}: the driver cleared the error", (
            "" if happened and cleared and cleared[-1] > happened[-1]
            else f"the trace has it in lines {happened}, and clears it in lines {cleared}")
        faults = [fault for fault in trace.faults() if fault.reason not in (5, 6)]
        yield f"{name}: no device was blocked", f"the trace has {faults[0]}" if faults else ""
    yield from unit_failure(evidence)


# Each refused request of selftests/requester.sh, in order. The last two are interrupts, which are sent
# only if they are remapped.
REASONS = [0x31, 0x31, 0xd, 0xd, 0xd, 0x25, 0x26]


def requester(evidence):
    """Each request is recorded once, as one of the requester, and no others are refused."""
    for name, trace in brackets(evidence, "requester "):
        records = [(event.value("high") & 0xffff, event.value("high") >> 32 & 0xff)
                   for event in trace.named("vtd_frr_new")]
        wanted = [(devices.source_id(name.split()[1]), reason) for reason in REASONS]
        yield f"{name}: each request was refused once, for the reason in the log", (
            "" if records in (wanted, wanted[:-2]) else
            f"the trace has (source-id, reason) {records}")


BY_TEST = {"queue-errors": queue_errors, "requester": requester}
