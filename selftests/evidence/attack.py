# SPDX-License-Identifier: GPL-2.0
"""The trace has every attempt as it was reported."""

from vtdlab.evidence import demo, klog
from vtdlab.guest import devices


def claims(evidence):
    """Yields (claim, why not) pairs."""
    for record in evidence.records.of("attack"):
        trace, log = evidence.window(record)
        seen = [f for f in trace.faults() if f.sid == devices.source_id(record["device"])]
        reported = [f for f in klog.faults(log) if f.bdf == record["device"]]
        yield (f"{record['kind']}: {record['scenario']} is {record['expect']}",
               demo.judge_attack(record, seen, reported, evidence.units))
