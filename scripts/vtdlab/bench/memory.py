# SPDX-License-Identifier: GPL-2.0
"""The pages that the drivers take (nr_iommu_pages), how the cost of an operation grows, and the
time of the load."""

from vtdlab.bench import guests
from vtdlab.bench.figures import Row

# A GiB of IOVA space in a table of four levels: leaf tables and the tables above them.
# The root belongs to the idle domain.
MINIMUM = {"4K": 512 + 1 + 1, "2M": 1 + 1, "1G": 1}
SLACK_LEVELS = {"4K": 3, "2M": 2, "1G": 1}
KEPT = 1
FLAT = 1.05


def memory(bench, out):
    """Measures section 4, and the load of section 6: one guest reports both."""
    said = {driver: bench.run(driver, "memory", out / f"memory-{driver}",
                              extra=guests.COUNTING, append=guests.TIMED_START)
            for driver in guests.DRIVERS}
    held = {driver: {r["state"]: r.number("count") for r in records.of("pages")}
            for driver, records in said.items()}

    def row(name, state, base, **more):
        figures = [float(held[d][state] - held[d][base]) for d in guests.DRIVERS]
        return Row("memory", name, "pages", *figures, **more)

    rows = [row("idle domain", "domain", "before-domain"),
            row("attached device and its domain", "attached", "before-attached")]
    for size, least in MINIMUM.items():
        rows.append(row(f"1 GiB of {size} pages", size, "domain",
                        note=f"the format needs {least}", most=least + SLACK_LEVELS[size]))
    for size in MINIMUM:
        rows.append(row(f"left after one unmap of the GiB of {size}", f"after-{size}", "domain",
                        most=KEPT, note="the table above, which others may need"))
    for size in ("4K", "2M"):
        rows.append(row(f"left after an unmap of each {size} page", f"after-{size}-by-page",
                        "domain"))
    rows += [row("left after the domain is freed", "end-domain", "before-domain", most=0),
             row("left after detach and free", "end-attached", "before-attached", most=0),
             Row("memory", "a unit, its devices and their domains", "pages",
                 float(held["intree"]["loaded"]), float(held["vtd"]["loaded"] - held["vtd"]["boot"]))]
    times = {driver: sum(r.number("us") for r in records.of("load"))
             for driver, records in said.items()}
    return rows + [Row("load", "start of the driver", "1000 instructions",
                       float(times["intree"]), float(times["vtd"]),
                       note="in-tree: pci_iommu_init; vtd: its module's init")]


def growth(bench, out):
    """Measures section 5: a growing domain, and a growing number of devices."""
    said = {driver: bench.run(driver, "growth", out / f"growth-{driver}", timeout=900,
                              extra=guests.COUNTING)
            for driver in guests.DRIVERS}
    crowd = {driver: bench.run(driver, "devices", out / f"devices-{driver}", timeout=900,
                               extra=(*guests.COUNTING, *many()))
             for driver in guests.DRIVERS}
    rows = _rows(said, "growth", "mib", "4K {op}, {n} MiB in use")
    rows += _rows(crowd, "devices", "functions", "4K {op}, {n} devices")
    joins = {driver: {r.number("functions"): r.number("ticks") / r.number("joined")
                      for r in records.of("attach")} for driver, records in crowd.items()}
    for count in joins["intree"]:
        rows.append(Row("load", f"attach of a device, {count} in the domain", "instructions",
                        joins["intree"][count], joins["vtd"][count]))
    return rows


def _rows(said, kind, number, name):
    values = {driver: {(r["op"], r.number(number)): float(r["mean"]) for r in records.of(kind)}
              for driver, records in said.items()}
    first = {op: n for op, n in reversed(values["intree"])}
    rows = []
    for op, n in values["intree"]:
        flat = [values[d][op, n] / values[d][op, first[op]] for d in guests.DRIVERS]
        rows.append(Row("growth", name.format(op=op, n=n), "instructions per operation",
                        values["intree"][op, n], values["vtd"][op, n],
                        most=values["vtd"][op, first[op]] * FLAT,
                        note=f"{flat[0]:.3f} | {flat[1]:.3f} of the first"))
    return rows


def many():
    """Returns 257 test devices: one alone, then eight functions to a slot, in 27 slots of the first
    bus and behind five root ports."""
    arguments = ["-device", "iommu-testdev,bus=pcie.0,addr=01.0"]
    slots = [("pcie.0", slot) for slot in (2, 3, 4, 6, *range(8, 31))]
    for port in range(5):
        arguments += ["-device", f"pcie-root-port,id=many{port},bus=pcie.0,addr=07.{port},"
                                 f"chassis={port + 1},multifunction=on"]
        slots.append((f"many{port}", 0))
    for bus, slot in slots:
        for function in range(8):
            more = ",multifunction=on" if function == 0 else ""
            arguments += ["-device", f"iommu-testdev,bus={bus},addr={slot:02x}.{function}{more}"]
    return arguments
