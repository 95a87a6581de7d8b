# SPDX-License-Identifier: GPL-2.0
"""Measurements in time: the kernel's dma_map_benchmark, fio and iperf3.

Each guest has two processors, which are threads of QEMU. The two drivers' guests take
turns, so that other load of this machine affects both alike. A row has the medians of its
rounds. Its ratio is the median of the rounds' ratios; the least and the most are recorded.
"""

import contextlib
import os
import statistics
import subprocess
import tempfile
import time

from vtdlab.bench import guests, workloads
from vtdlab.bench.figures import Row
from vtdlab.errors import LabError
from vtdlab.evidence.trace import Trace
from vtdlab.guest import devices

DMA_GOAL = 0.85
PORT = 5201


class Samples:
    """Figures by row and driver, over the rounds."""

    def __init__(self):
        self.rows = {}

    def add(self, row, driver, value):
        """Adds one round's figure."""
        self.rows.setdefault(row, {}).setdefault(driver, []).append(value)

    def table(self, section, unit, **more):
        """Returns a Row for each; `more` as Row takes it."""
        return [_row(section, name, unit, *(by[d] for d in guests.DRIVERS), **more)
                for name, by in self.rows.items() if set(by) == set(guests.DRIVERS)]


def _row(section, name, unit, in_tree, vtd, **more):
    ratios = [ours / theirs for theirs, ours in zip(in_tree, vtd) if theirs]
    if len(ratios) == len(in_tree):
        more |= {"paired": statistics.median(ratios), "spread": (min(ratios), max(ratios)),
                 "note": f"{min(ratios):.2f}..{max(ratios):.2f}"}
    return Row(section, name, unit, statistics.median(in_tree), statistics.median(vtd), **more)


def _order(number):
    """Returns the order of booting, which changes from round to round."""
    return guests.DRIVERS[::-1 if number % 2 else 1]


def dma(bench, out, rounds):
    """Runs dma_map_benchmark: microseconds of map and unmap, one and two threads."""
    times, scaling = Samples(), Samples()
    for number in range(rounds):
        for mode in ("strict", "lazy", "held"):
            said = bench.turns("dma-api", mode, {
                driver: (out / f"dma-time-{mode}-{driver}-{number}", (), ())
                for driver in _order(number)})
            for driver, records in said.items():
                _latencies(mode, driver, records, times, scaling)
    return (times.table("dma-api", "microseconds per operation", goal=DMA_GOAL)
            + scaling.table("dma-api", "times as long with two threads"))


def _latencies(mode, driver, records, times, scaling):
    one = {}
    for r in records.of("dma-time"):
        for op in ("map", "unmap"):
            value, threads = float(r[op]), r.number("threads")
            name = f"{mode} {r['work']} {op}"
            times.add(f"{name}, {threads} thread{'s' if threads > 1 else ''}", driver, value)
            if threads == 1:
                one[name] = value
            elif one[name]:
                scaling.add(f"{name}, 2 threads by 1", driver, value / one[name])


def work(bench, out, rounds):
    """Runs fio and iperf3; then once more with QEMU's trace, for descriptors."""
    disk, net, descriptors = Samples(), Samples(), Samples()
    with IperfServer(0) as one, IperfServer(1) as other:
        servers = dict(zip(guests.DRIVERS, (one, other)))
        for number in range(rounds):
            for mode in guests.MODES:
                for driver, records in _work(bench, mode, out, number, servers).items():
                    for r in records.of("disk"):
                        disk.add(f"{mode} NVMe {r['work']}", driver, float(r["iops"]))
                    for r in records.of("net"):
                        net.add(f"{mode} {r['work']}", driver, float(r["bits"]) / 1e6)
        for mode in ("strict", "lazy", "held"):
            for driver in guests.DRIVERS:
                _descriptors(bench, driver, mode, out, one, descriptors)
    return (disk.table("work", "I/O per second", more=True, goal=1)
            + net.table("work", "Mbit/s", more=True, goal=1)
            + descriptors.table("descriptors", "per I/O"))


def _descriptors(bench, driver, mode, out, server, samples):
    out = out / f"work-{mode}-{driver}-trace"
    with tempfile.TemporaryDirectory(prefix="vtd-disks-") as disks:
        records = bench.run(driver, "work", out, cpus=2, extra=standard(disks), mode=mode,
                            append=[f"guest.port={server.port}"])
    marks = {label: number for number, label in records.marks().items()}
    trace = Trace.read(out / "qemu-trace.log")
    for r in records.of("disk"):
        ios = float(r["kib"]) * 1024 / (int(r["block"].rstrip("k")) * 1024)
        kinds = trace.between(marks[f"disk {r['work']}"],
                              marks[f"disk {r['work']} end"]).descriptor_kinds()
        samples.add(f"{mode} NVMe {r['work']}, descriptors", driver, sum(kinds.values()) / ios)
        samples.add(f"{mode} NVMe {r['work']}, waits", driver, kinds["wait"] / ios)


def _work(bench, mode, out, number, servers):
    with contextlib.ExitStack() as folders:
        hows = {}
        for driver in _order(number):
            disks = folders.enter_context(tempfile.TemporaryDirectory(prefix="vtd-disks-"))
            hows[driver] = (out / f"work-{mode}-{driver}-{number}", standard(disks),
                            [f"guest.port={servers[driver].port}"])
        return bench.turns("work", mode, hows)


def standard(folder):
    """Returns the standard machine's devices, without edu, which every benchmark adds."""
    found, words = [], iter(devices.standard(folder))
    for word in words:
        value = next(words)
        if not value.startswith("edu,"):
            found += [word, value]
    return found


class IperfServer:
    """The other end of iperf3, on the loopback, for as long as the context; it serves one guest at
    a time."""

    def __init__(self, number):
        self.port = PORT + 2 * (os.getpid() % 1000) + number
        self.child = None

    def __enter__(self):
        argv, env = workloads.iperf_server()
        self.child = subprocess.Popen([*argv, "-p", str(self.port)], env=env,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)
        if self.child.poll() is not None:
            raise LabError(f"iperf3 does not serve on port {self.port}: "
                           f"{self.child.stderr.read().strip()}")
        return self

    def __exit__(self, *unused):
        self.child.terminate()
        self.child.wait(30)
