# SPDX-License-Identifier: GPL-2.0
"""What QEMU's trace says about interrupts that devices forged, and about those of the IO-APIC."""

from vtdlab import acpi
from vtdlab.witness import brackets

# Reason and source-id of each forged interrupt of selftests/interrupts.sh, in order. QEMU attributes
# the writes of iommu-testdev to 00:00.0.
EDU, HOST_BRIDGE = 0x28, 0x00
FORGED = [(0x26, EDU), (0x22, EDU), (0x21, EDU), (0x26, HOST_BRIDGE), (0x22, HOST_BRIDGE)]

GCMD, REMAPPING, COMPATIBILITY_FORMAT = 0x18, 1 << 25, 1 << 23


def interrupts(evidence):
    """Each forged interrupt is recorded once, with the reason that the driver reports. Interrupts are
    remapped without letting requests in compatibility format pass, or not at all."""
    def commands(trace):
        return [event.value("value") for event in trace.named("vtd_reg_write")
                if event.value("addr") == GCMD]

    whole = commands(evidence.trace)
    remaps = any(value & REMAPPING for value in whole)
    for name, trace in brackets(evidence, "interrupts "):
        if name == "interrupts wired":
            # Other tests of the guest write to GCMD in place of a driver. Interrupts of other units
            # may be remapped: the first one has the IO-APIC.
            loads = commands(trace.of_unit(acpi.UNIT_BASE if trace.units() else None))
            turned_on = any(value & REMAPPING for value in loads)
            yield "nothing is remapped that the IO-APIC needs", (
                "a write to GCMD turned it on" if turned_on else
                "" if loads else "the driver was not loaded")
            continue
        passes = any(value & COMPATIBILITY_FORMAT for value in whole)
        yield "requests in compatibility format are blocked", (
            "a write to GCMD let them pass" if passes else "" if remaps else "nothing is remapped")
        records = [(event.value("high") >> 32 & 0xff, event.value("high") & 0xffff)
                   for event in trace.named("vtd_frr_new")]
        yield f"{name}: each was refused once, for the reason in the log", (
            "" if records == FORGED else f"the trace has (reason, source-id) {records}")
        kinds = trace.descriptor_kinds()
        yield f"{name}: no invalidation was needed", (
            "" if not kinds else f"the trace has {dict(kinds)}")


BY_TEST = {"interrupts": interrupts}
