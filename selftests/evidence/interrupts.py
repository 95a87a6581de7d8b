# SPDX-License-Identifier: GPL-2.0
"""Each forged interrupt is recorded once, with the reason that the driver reports. Interrupts are
remapped without letting requests in compatibility format pass, or not at all."""

from evidence.common import brackets
from vtdlab.guest import acpi, vfio_machine

# Reason and source-id of each forged interrupt of selftests/interrupts.sh, in order. QEMU attributes
# the writes of iommu-testdev to 00:00.0.
EDU, HOST_BRIDGE, USER = 0x28, 0x00, vfio_machine.FORGER.sid
ATTACKS = (0x26, 0x22, 0x21)
FORGED = {
    "interrupts forged": [*((reason, EDU) for reason in ATTACKS),
                          *((reason, HOST_BRIDGE) for reason in ATTACKS)],
    "interrupts forged by a user": [(reason, USER) for reason in 2 * ATTACKS],
    "interrupts freed": [(0x22, USER), (0x22, EDU), (0x22, HOST_BRIDGE)],
}
GCMD, REMAPPING, COMPATIBILITY_FORMAT = 0x18, 1 << 25, 1 << 23


def _commands(trace):
    return [event.value("value") for event in trace.named("vtd_reg_write")
            if event.value("addr") == GCMD]


def _wired(evidence, trace):
    """Yields the claims about a load without noapic: what the IO-APIC needs is not remapped. Other
    tests of the guest write to GCMD in place of a driver."""
    for address, unit in evidence.units.items():
        has_io_apic = address in (None, acpi.UNIT_BASE)
        loads = _commands(trace.of_unit(address))
        turned_on = any(value & REMAPPING for value in loads)
        yield (f"{unit.name}: nothing is remapped that the IO-APIC needs" if has_io_apic else
               f"{unit.name}: interrupts are remapped, as it has no IO-APIC"), (
            "the driver was not loaded" if not loads else
            "" if turned_on != has_io_apic else
            f"GCMD was written with {', '.join(map(hex, loads))}")


def claims(evidence):
    """Yields (claim, why not) pairs."""
    whole = _commands(evidence.trace)
    remaps = any(value & REMAPPING for value in whole)
    for name, trace in brackets(evidence, "interrupts "):
        if name == "interrupts wired":
            yield from _wired(evidence, trace)
            continue
        passes = any(value & COMPATIBILITY_FORMAT for value in whole)
        yield f"{name}: requests in compatibility format are blocked", (
            "a write to GCMD let them pass" if passes else "" if remaps else "nothing is remapped")
        records = [(event.value("high") >> 32 & 0xff, event.value("high") & 0xffff)
                   for event in trace.named("vtd_frr_new")]
        yield f"{name}: each was refused once, for the reason in the log", (
            "" if records == FORGED[name] else f"the trace has (reason, source-id) {records}")
        # A user maps and unmaps memory.
        if name == "interrupts forged":
            kinds = trace.descriptor_kinds()
            yield f"{name}: no invalidation was needed", (
                "" if not kinds else f"the trace has {dict(kinds)}")
