# SPDX-License-Identifier: GPL-2.0
"""The host's evidence of a guest's run: its channel, its log, QEMU's trace."""

import dataclasses
import functools

from vtdlab import klog


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The witnesses of a run."""

    records: object         # the guest's records
    console: list           # the kernel's log
    trace: object           # QEMU's
    outcome: object         # how QEMU ended
    server: object          # the other end of the NIC
    driver: str             # vtd or intree

    @functools.cached_property
    def units(self):
        """The names of the units, by address, if the trace names units; those that no driver
        named are among them, and so are those that the trace does not have."""
        traced = {address: f"a unit at {address:#x}" for address in sorted(self.trace.units())}
        return traced and traced | klog.units(self.console)

    def by_unit(self, trace):
        """Yields (name, part of the trace) of each unit; a trace that names none is that of one."""
        if not self.units:
            yield "the unit", trace
        for address, name in self.units.items():
            yield name, trace.of_unit(address)

    def window(self, record):
        """Returns (trace, log) between the mark before a record and the next mark."""
        mark = self.records.mark_before(record)
        return (self.trace.between(mark, mark + 1),
                klog.between(self.console, mark, mark + 1))
