# SPDX-License-Identifier: GPL-2.0
"""Makes pytest run the tests that run elsewhere.

A guest and `cargo test` each run many tests and report them in lines. Here each of
them is one item of pytest, which turns every line into a separate result as it
arrives. The result of the item itself is about the whole: the guest ran to its end,
kept its plans, and its kernel did not complain.
"""

import os
import time

import pytest

import guest_pool
import boot_runner
import boots
import cargo
import qtest_requester
from vtdlab.build import preload
from vtdlab.errors import LabError
from vtdlab.guest import machines

POOL = pytest.StashKey()


@pytest.fixture(name="built", scope="session")
def object_in_cache():
    """Returns the object that adds units and a requester to QEMU."""
    return preload.get()


@pytest.fixture(name="scalable")
def requester_in_scalable_mode(built):
    """Gives a test a requester whose unit is in scalable mode."""
    with qtest_requester.scalable_machine(built) as made:
        yield made


@pytest.fixture(name="legacy")
def requester_in_legacy_mode(built):
    """Gives a test a requester whose unit is in legacy mode."""
    with qtest_requester.legacy_machine(built) as made:
        yield made


def pytest_addoption(parser):
    """Adds the options that `make check` passes on."""
    group = parser.getgroup("vtd")
    group.addoption("--series", action="append", default=[], help="kernel series to boot")
    group.addoption("--flavour", default="test", help="kernel to boot: test or debug")
    group.addoption("--machine", action="append", default=[], help="machines with several units")
    group.addoption("--stage", action="append", default=[], help="stages in scalable mode")
    group.addoption("--test", default="", help="only this test of the guests")


def pytest_configure():
    """Reports a wrong request before anything runs."""
    try:
        guest_pool.concurrency()
    except LabError as err:
        raise pytest.UsageError(str(err)) from err


def pytest_collect_file(file_path, parent):
    """Collects boots.py (guests) and cargo.py (the core's tests), no ordinary test files."""
    if file_path.name == "boots.py":
        return GuestFile.from_parent(parent, path=file_path)
    if file_path.name == "cargo.py":
        return CargoFile.from_parent(parent, path=file_path)
    return None


class GuestFile(pytest.File):
    """Yields the guests of every requested series."""

    def collect(self):
        only = self.config.getoption("--test")
        flavour = self.config.getoption("--flavour")
        wanted = self.config.getoption("--series") or boots.SERIES
        # One test on one kernel was requested: that combination must exist.
        whole = bool(only) and len(wanted) == 1
        if only and flavour not in (runs := boots.flavours_of(only)):
            raise self.CollectError(f"{only} does not run on this kernel; run " + " or ".join(
                f"{boots.COMMANDS[one]} T={only}" for one in runs) + ".")
        layouts = [machines.ALL[name] for name in self.config.getoption("--machine")]
        stages = self.config.getoption("--stage")
        others = boots.units(layouts) + boots.scalable(stages)
        if only and others and not any(only in boot.tests_of(one, flavour, whole) for one in wanted
                                       for boot in others):
            raise self.CollectError(f"{only} has no boot on these machines; run make check T={only}.")
        for series in wanted:
            for boot in others or boots.BOOTS:
                tests = boot.tests_of(series, flavour, whole)
                if flavour == "debug" and boot.left_out:
                    tests = boot.tests
                if only:
                    tests = [test for test in tests if test == only and not boot.flavour]
                if tests:
                    kernel = (series, boot.flavour or flavour)
                    name = "-".join(kernel).removesuffix("-test") + f"/{boot.name}"
                    yield GuestItem.from_parent(self, name=name, boot=boot, tests=tests,
                                                kernel=kernel)


class CargoFile(pytest.File):
    """Yields the tests of vtd_core on the host."""

    def collect(self):
        if not self.config.getoption("--test"):
            yield CargoItem.from_parent(self, name="vtd_core")


def _before_guests(item):
    """Returns whether a test replaces parts of the laboratory, or reads what it prints."""
    return bool({"monkeypatch", "capsys", "capfd"} & {*getattr(item, "fixturenames", ())})


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Lets such tests run before any guest."""
    items.sort(key=lambda item: not _before_guests(item))


def pytest_runtest_setup(item):
    """Starts the guests with the first other test."""
    stash, items = item.session.stash, item.session.items
    guests = [one for one in items if isinstance(one, GuestItem) and not one.skipped()]
    if guests and POOL not in stash and not _before_guests(item):
        stash[POOL] = guest_pool.GuestPool(guests, others=not isinstance(item, GuestItem))


class StreamItem(pytest.Item):
    """An item that reports several results while it runs."""

    def result(self, name, outcome, detail=""):
        """Passes one result to pytest; `detail` is the reason of a skip or failure."""
        # pytest takes dots in the last part of the id for those of a module.
        where = (str(self.path), None, f"{name} ({self.name})")
        longrepr = None
        if outcome == "failed":
            longrepr = detail or "failed, and gave no reason"
        elif outcome == "skipped":
            longrepr = (str(self.path), 0, f"Skipped: {detail}")
        now = time.time()
        report = pytest.TestReport(f"{self.nodeid}/{name}", where, {self.name: 1}, outcome, longrepr,
                            "call", start=now, stop=now, duration=0)
        with self.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            self.ihook.pytest_runtest_logreport(report=report)

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, (boot_runner.Broken, cargo.Broken)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, None, f"all of {self.name}"


def pytest_sessionfinish(session):
    """Ends all guests when the tests end, for whatever reason."""
    if POOL in session.stash:
        session.stash[POOL].end()


class GuestItem(StreamItem):
    """One boot of one guest."""

    def __init__(self, *, boot, kernel, tests, **kwargs):
        super().__init__(**kwargs)
        self.boot, self.kernel, self.tests = boot, kernel, tests
        self.alone = boot.alone

    def skipped(self):
        """Returns why it is not booted; empty if it is."""
        if self.boot.long and os.environ.get("QUICK"):
            return "takes many minutes, and QUICK is set"
        return self.boot.left_out if self.config.getoption("--flavour") == "debug" else ""

    def guest(self, result, tick):
        """Returns the pool that boots guests ahead."""
        boot_runner.run(self.boot, self.kernel, self.tests, result, tick)

    def runtest(self):
        if self.skipped():
            pytest.skip(self.skipped())
        self.session.stash[POOL].report(self, self.result)


class CargoItem(StreamItem):
    """One run of `cargo test`."""

    def runtest(self):
        cargo.run(self.result)
