# SPDX-License-Identifier: GPL-2.0
"""Instructions of a remapped interrupt, and of a change of its affinity.

Both drivers remap: the in-tree one as the kernel boots, vtd where no IO-APIC needs others.
"""

from vtdlab.bench import guests
from vtdlab.bench.figures import Row
from vtdlab.errors import LabError

# The last intremap= on a command line counts.
WORDS = {"intree": ("intremap=on",), "vtd": ("noapic",)}
ROWS = {"interrupt": "interrupt, from the device's write to its handler's end",
        "affinity": "change of the affinity"}
# Of the instructions between two readings of the clock. The reading itself is one.
TOLERANCE = 20


def measure(bench, out):
    """Measures both drivers, with one guest each."""
    said = {driver: _values(bench.run(driver, "interrupts", out / f"interrupts-{driver}",
                                      extra=guests.COUNTING, append=WORDS[driver]), driver)
            for driver in guests.DRIVERS}
    return [Row("interrupts", name, "instructions per operation", said["intree"][op],
                said["vtd"][op]) for op, name in ROWS.items()]


def _values(records, driver):
    clock = records.of("clock")[0]
    if abs(clock.number("known") - clock.number("expected")) > TOLERANCE:
        raise LabError(f"A loop of {clock['expected']} instructions was measured as "
                       f"{clock['known']}: a tick of this guest's clock is not an instruction.")
    chip = records.of("chip")[0]["name"]
    if not chip.startswith("IR-"):
        raise LabError(f"Interrupts were to be remapped by {guests.NAMES[driver]}, but edu's is "
                       f"of {chip}.")
    # The least: now and then the timer's interrupt comes in between.
    return {record["op"]: record.number("least") for record in records.of("interrupts")}
