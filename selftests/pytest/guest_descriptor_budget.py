# SPDX-License-Identifier: GPL-2.0
"""Descriptor budget: the same work under both drivers, with the descriptors by type.

The number of buffers that the network maps for the same bytes differs from run to run,
because TCP answers in more or fewer packets. So for the network the cost of one unmap is
compared, with unmaps counted by the core's trace event; for the boot and the disk, the sum.

QEMU's unit reports that it drops its caches when it gets a root table (ESRTPS), so
neither driver starts with a flush of everything.
"""

import shutil
import tempfile

import pytest

import boot_runner
import boots
from vtdlab import cache as lab
from vtdlab.evidence import klog
from vtdlab.evidence.trace import Trace
from vtdlab.guest import devices, qemu, testbed
from vtdlab.guest.channel import Records
from vtdlab.guest.fileserver import FileServer

TIMEOUT = 300
DRIVERS = ("intree", "vtd")
PARTS = ("boot", "disk", "net")
# By how much two runs of one driver differ: the disk merges requests at its own pace, and the end
# of a part may fall between an unmap and its descriptor.
REPEATS = {"boot": 1, "disk": 1.03, "net": 1.001}
# vtd completes a wait at bring-up: without one, the kernel that follows after a crash could not
# disable the queue of a unit that was not used.
BRING_UP = {"boot": 1, "disk": 0, "net": 0}


def pytest_generate_tests(metafunc):
    """Returns the first requested series."""
    series = metafunc.config.getoption("--series")[:1] or boots.SERIES[:1]
    metafunc.parametrize("found", series, indirect=True, scope="module")


def _boot(series, driver):
    """Returns for each part: (work, descriptors by kind)."""
    out = lab.checkout() / "out/check" / f"{series}-descriptor-budget-{driver}"
    shutil.rmtree(out, ignore_errors=True)
    bed = testbed.get(series)
    with tempfile.TemporaryDirectory(prefix="vtd-disks-") as disks, FileServer({}) as server:
        machine = bed.machine("descriptor-budget", devices.standard(disks), driver=driver,
                              append=["guest.end=poweroff", f"guest.port={server.port}"])
        records = Records()
        outcome = qemu.boot(machine, out, TIMEOUT, records.add)
    console = klog.read(outcome.console)
    assert outcome.ending == "poweroff", (outcome.detail, console[-boot_runner.LOG_TAIL:])
    assert not klog.complaints(console)
    assert not [record["text"] for record in records.of("problem")]
    trace = Trace.read(outcome.trace)
    work = {record["part"]: record.number("work") for record in records.of("budget")}
    work["disk"] = 1
    marks = {record["label"]: record.number("number") for record in records.of("mark")}
    places = dict(trace.marks())
    outcome.trace.unlink()

    def kinds(part):
        # The in-tree driver starts with the kernel, long before the first mark.
        first = 0 if part == "boot" else places[marks[f"budget {part} begin"]]
        return Trace(trace.events[first:places[marks[f"budget {part} end"]]]).descriptor_kinds()

    return {part: (work[part], kinds(part)) for part in PARTS}


@pytest.fixture(scope="module", name="found")
def _found(request):
    found = {driver: _boot(request.param, driver) for driver in DRIVERS}
    (lab.checkout() / "out/check/descriptor-budget.txt").write_text(_table(found), encoding="utf-8")
    return found


def _kinds(found, part):
    return sorted({kind for driver in DRIVERS for kind in found[driver][part][1]})


def _table(found):
    lines = [f"{'work':<6} {'descriptor':<16} {'in-tree':>9} {'vtd':>9} {'for each':>14}"]
    for part in PARTS:
        for kind in _kinds(found, part):
            (their_work, theirs), (our_work, ours) = (found[driver][part] for driver in DRIVERS)
            each = f"{theirs[kind] / their_work:.2f} {ours[kind] / our_work:.2f}"
            lines.append(f"{part:<6} {kind:<16} {theirs[kind]:>9} {ours[kind]:>9} {each:>14}")
        lines.append(f"{part:<6} {'(work)':<16} {their_work:>9} {our_work:>9}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("part", PARTS)
def test_descriptors_are_never_more(found, part):
    """Compares the sum, and the waits, during which a processor does no other work."""
    (their_work, theirs), (our_work, ours) = (found[driver][part] for driver in DRIVERS)
    assert our_work and sum(theirs.values())
    ours["wait"] -= BRING_UP[part]
    wrong = [f"{name}: {our / our_work:.3f} where in-tree has {their / their_work:.3f}"
             for name, our, their in (("all", sum(ours.values()), sum(theirs.values())),
                                      ("wait", ours["wait"], theirs["wait"]))
             if our / our_work > REPEATS[part] * their / their_work]
    assert not wrong, "\n" + _table(found)


def test_flushes_are_narrow(found):
    """Compares invalidations of more than some pages: ours has no more in any part."""
    for part in PARTS:
        (their_work, theirs), (our_work, ours) = (found[driver][part] for driver in DRIVERS)
        for kind in _kinds(found, part):
            if kind not in ("wait", "iotlb-pages"):
                assert ours[kind] / our_work <= theirs[kind] / their_work, "\n" + _table(found)
