# SPDX-License-Identifier: GPL-2.0
"""The host's evidence of a guest's run: its channel, its log, QEMU's trace."""

import dataclasses

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

    def window(self, record):
        """Returns (trace, log) between the mark before a record and the next mark."""
        mark = self.records.mark_before(record)
        return (self.trace.between(mark, mark + 1),
                klog.between(self.console, mark, mark + 1))
