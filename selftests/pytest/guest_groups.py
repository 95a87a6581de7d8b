# SPDX-License-Identifier: GPL-2.0
"""Groups as the hardware isolates: the same as the in-tree driver makes them.

Every machine of topologies.py boots twice, once for each driver; what the two
made of it is compared exactly. A group that is smaller than the other driver's
would isolate what cannot be isolated; one that is larger would take devices
from their users for nothing.
"""

import concurrent.futures
import shutil
import tempfile

import pytest

import guest_pool
import boots
import topologies
from vtdlab import acpi
from vtdlab import cache as lab
from vtdlab import klog, qemu, testbed
from vtdlab.channel import Records

TIMEOUT = 180
DRIVERS = ("intree", "vtd")
STAGES = ("first", "again", "virtual")
# What the administrator wants: no redirection in one port, whatever a driver
# would turn on, and no translation done by devices.
ADMIN = ("pci=noats,disable_acs_redir=00:09.0",)
REDIRECTION = 0x2C          # of requests, of completions, by egress control
# 00:08.0, in ACPI's names, faces outwards.
OUTSIDE = "S40"
# Machine, words of the command line, whether a port faces outwards.
MACHINES = {
    "ports": ("ports", (), False),
    "switch": ("switch", (), False),
    "bridges": ("bridges", (), False),
    "admin": ("ports", ADMIN, False),
    "outside": ("ports", (), True),
}


def pytest_generate_tests(metafunc):
    """Every series asked for, every machine."""
    series = metafunc.config.getoption("--series")[:1] or boots.SERIES[:1]
    metafunc.parametrize("told", [(one, name) for one in series for name in MACHINES],
                         indirect=True, scope="module",
                         ids=[f"{one}-{name}" for one in series for name in MACHINES])


def _boot(series, name, driver):
    out = lab.checkout() / "out/check" / f"{series}-groups-{name}-{driver}"
    shutil.rmtree(out, ignore_errors=True)
    topology, words, outside = MACHINES[name]
    bed = testbed.get(series)
    with tempfile.TemporaryDirectory(prefix="vtd-tables-") as folder:
        image = bed.image
        if outside:
            image = acpi.put_before(image, {"outside": acpi.external_ports(OUTSIDE)},
                                    f"{folder}/initramfs")
        machine = bed.machine("groups", topologies.arguments(topology), driver=driver,
                              append=["guest.end=poweroff", *words], image=image)
        records = Records()
        outcome = qemu.boot(machine, out, TIMEOUT, records.add)
    console = klog.read(outcome.console)
    assert outcome.ending == "poweroff", (outcome.detail, console[-boots.LOG_TAIL:])
    assert not klog.complaints(console)
    assert not [record["text"] for record in records.of("problem")]
    outcome.trace.unlink()
    return [record.values for record in records.of("function")]


@pytest.fixture(scope="module", name="told")
def _told(request):
    """What each driver's guest told of one machine."""
    with concurrent.futures.ThreadPoolExecutor(guest_pool.concurrency()) as pool:
        return dict(zip(DRIVERS, pool.map(lambda driver: _boot(*request.param, driver), DRIVERS)))


def _groups(functions, stage):
    found = {}
    for function in functions:
        if function["stage"] == stage:
            found.setdefault(function["group"], set()).add(function["bdf"])
    free = found.pop("none", set())
    return {frozenset(members) for members in found.values()} | {("in no group", *sorted(free))}


@pytest.mark.parametrize("stage", STAGES)
def test_groups(told, stage):
    """The same sets of functions, and the same functions in no group."""
    ours, theirs = (_groups(told[driver], stage) for driver in ("vtd", "intree"))
    assert len(ours) > 1
    assert sorted(map(sorted, ours - theirs)) == sorted(map(sorted, theirs - ours))


@pytest.mark.parametrize("stage", STAGES)
def test_access_control(told, stage, request):
    """The same bits of ACS are on in every function."""
    # The kernel forgets what the in-tree driver asked for where it does what the
    # administrator said of redirection; only that is the same there.
    mask = REDIRECTION if "-admin-" in request.node.name else -1
    # A function in no group is behind no unit: its access control is not vtd's business.
    ours, theirs = ({f["bdf"]: int(f["control"]) & mask for f in told[driver]
                     if f["stage"] == stage and f["group"] != "none" and f["control"]}
                    for driver in ("vtd", "intree"))
    assert any(ours.values())
    assert ours == theirs


def test_stages_differ(told):
    """Functions were there to be found again, and virtual ones were made where there are any."""
    again, virtual = ({f["bdf"] for f in told["vtd"] if f["stage"] == stage}
                      for stage in STAGES[1:])
    assert again == {f["bdf"] for f in told["vtd"] if f["stage"] == "first"}
    assert bool(virtual - again) == any(f["virtual"] not in ("", "0") for f in told["vtd"])


def test_outside(told, request):
    """What is said of strangers reached the kernel: else `outside` shows nothing."""
    outside = any(f["removable"] == "removable" for f in told["vtd"])
    assert outside == request.node.name.endswith("-outside]")
