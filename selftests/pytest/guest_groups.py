# SPDX-License-Identifier: GPL-2.0
"""Groups follow the hardware's isolation: they are the same as the in-tree driver's.

Every machine of topologies.py boots twice, once with each driver, and the groups of the
two are compared exactly. A group that is smaller than the other driver's would isolate
what cannot be isolated; a larger one would keep devices from their users without need.
"""

import concurrent.futures
import shutil
import tempfile

import pytest

import guest_pool
import boot_runner
import boots
import topologies
from vtdlab import cache as lab
from vtdlab.evidence import klog
from vtdlab.guest import acpi
from vtdlab.guest import machines, qemu, testbed
from vtdlab.guest.channel import Records

TIMEOUT = 180
DRIVERS = ("intree", "vtd")
STAGES = ("first", "again", "virtual")
# The administrator's settings: no redirection in one port, whatever a driver would enable, and
# no translation by devices.
ADMIN = ("pci=noats,disable_acs_redir=00:09.0",)
REDIRECTION = 0x2C          # of requests, of completions, by egress control
# 00:08.0, in ACPI's names, is external-facing.
OUTSIDE = "S40"
# Topology, words of the command line, whether a port is external-facing, the units.
MACHINES = {
    "ports": ("ports", (), False, machines.STANDARD),
    "switch": ("switch", (), False, machines.STANDARD),
    "bridges": ("bridges", (), False, machines.STANDARD),
    "admin": ("ports", ADMIN, False, machines.STANDARD),
    "outside": ("ports", (), True, machines.STANDARD),
    "server": ("ports", (), False, machines.SERVER),
}


def pytest_generate_tests(metafunc):
    """Parametrizes by every requested series and every machine."""
    series = metafunc.config.getoption("--series")[:1] or boots.SERIES[:1]
    metafunc.parametrize("found", [(one, name) for one in series for name in MACHINES],
                         indirect=True, scope="module",
                         ids=[f"{one}-{name}" for one in series for name in MACHINES])


def _boot(series, name, driver):
    out = lab.checkout() / "out/check" / f"{series}-groups-{name}-{driver}"
    shutil.rmtree(out, ignore_errors=True)
    topology, words, outside, layout = MACHINES[name]
    tables = {"dmar": layout.dmar()} if layout.units else {}
    if outside:
        tables["outside"] = acpi.external_ports(OUTSIDE)
    bed = testbed.get(series)
    with tempfile.TemporaryDirectory(prefix="vtd-tables-") as folder:
        image = (acpi.put_before(bed.image, tables, f"{folder}/initramfs") if tables
                 else bed.image)
        devices = layout.devices(folder, lambda _: topologies.arguments(topology))
        machine = bed.machine("groups", devices, driver=driver, iommu=layout.iommu,
                              append=["guest.end=poweroff", *words], image=image)
        records = Records()
        outcome = qemu.boot(machine, out, TIMEOUT, records.add)
    console = klog.read(outcome.console)
    assert outcome.ending == "poweroff", (outcome.detail, console[-boot_runner.LOG_TAIL:])
    assert not klog.complaints(console)
    assert not [record["text"] for record in records.of("problem")]
    outcome.trace.unlink()
    return [record.values for record in records.of("function")]


@pytest.fixture(scope="module", name="found")
def _found(request):
    """Returns the records of each driver's guest for one machine."""
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
def test_groups(found, stage):
    """The same sets of functions, and the same functions in no group."""
    ours, theirs = (_groups(found[driver], stage) for driver in ("vtd", "intree"))
    assert len(ours) > 1
    assert sorted(map(sorted, ours - theirs)) == sorted(map(sorted, theirs - ours))


@pytest.mark.parametrize("stage", STAGES)
def test_access_control(found, stage, request):
    """The same bits of ACS are set in every function."""
    # If the administrator's setting concerns redirection, the kernel drops what the in-tree driver
    # requested there; only redirection is the same then.
    mask = REDIRECTION if "-admin-" in request.node.name else -1
    # A function in no group is behind no unit: vtd leaves its access control alone.
    ours, theirs = ({f["bdf"]: int(f["control"]) & mask for f in found[driver]
                     if f["stage"] == stage and f["group"] != "none" and f["control"]}
                    for driver in ("vtd", "intree"))
    assert any(ours.values())
    assert ours == theirs


def test_stages_differ(found):
    """Functions were found by the rescan, and virtual ones were created if there are any."""
    again, virtual = ({f["bdf"] for f in found["vtd"] if f["stage"] == stage}
                      for stage in STAGES[1:])
    assert again == {f["bdf"] for f in found["vtd"] if f["stage"] == "first"}
    assert bool(virtual - again) == any(f["virtual"] not in ("", "0") for f in found["vtd"])


def test_units(found, request):
    """Each unit of the machine has devices, with either driver."""
    layout = MACHINES[request.node.name.split("-")[1].rstrip("]")][3]
    for driver in DRIVERS:
        names = {f["unit"] for f in found[driver] if f["unit"]}
        assert len(names) == 1 + len(layout.units), (driver, names)


def test_outside(found, request):
    """The kernel knows which port is external-facing: otherwise `outside` proves nothing."""
    outside = any(f["removable"] == "removable" for f in found["vtd"])
    assert outside == request.node.name.endswith("-outside]")
