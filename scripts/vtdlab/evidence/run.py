# SPDX-License-Identifier: GPL-2.0
"""The host's evidence of a guest's run: its channel, its log, QEMU's trace."""

import dataclasses
import functools

from vtdlab.evidence import klog
from vtdlab.guest import acpi, devices, machines


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The witnesses of a run."""

    records: object         # the guest's records
    console: list           # the kernel's log
    trace: object           # QEMU's
    outcome: object         # how QEMU ended
    server: object          # the other end of the NIC
    driver: str             # vtd or intree
    machine: machines.Layout = machines.STANDARD

    def window(self, record):
        """Returns (trace, log) between the mark before a record and the next mark."""
        mark = self.records.mark_before(record)
        return (self.trace.between(mark, mark + 1),
                klog.between(self.console, mark, mark + 1))

    @functools.cached_property
    def units(self):
        """The units, by address: those of the trace and those of the driver's log. Of a machine
        with one unit the trace has no address; that unit is at None."""
        logged = klog.units(self.console)
        if not self.trace.units():
            return {None: logged.get(acpi.UNIT_BASE, klog.Unit("the unit", 0))}
        found = {address: klog.Unit(f"the unit at {address:#x}", 0)
                 for address in self.trace.units()} | logged
        return dict(sorted(found.items(), key=lambda item: item[1].name))

    def by_unit(self, trace):
        """Yields (name, part of the trace) of each unit."""
        for address, unit in self.units.items():
            yield unit.name, trace.of_unit(address)

    @functools.cached_property
    def serving(self):
        """The addresses of the units that translated for each source-id, or refused it."""
        found = {}
        for event in self.trace.named("vtd_iotlb_page_update", "vtd_dmar_fault"):
            found.setdefault(event.value("sid"), set()).add(event.unit)
        return found

    def of_device(self, trace, bdf):
        """Returns (its unit, what that unit did) of the unit that serves a device, which must
        have made a request."""
        (address,) = self.serving[devices.source_id(bdf)]
        return self.units[address], trace.of_unit(address)
