# SPDX-License-Identifier: GPL-2.0
"""Runs one boot: passes on the guest's results, then compares them with what QEMU saw."""

import asyncio
import dataclasses
import os
import shutil
import tempfile
import time

import unit_services
from evidence import ending, witness
from vtdlab import cache as lab
from vtdlab.commands import run as demo_run
from vtdlab.errors import LabError
from vtdlab.evidence import klog, ktap, serving
from vtdlab.evidence.run import Evidence
from vtdlab.evidence.trace import Trace
from vtdlab.guest import qemu, testbed
from vtdlab.guest.channel import Records
from vtdlab.guest.fileserver import FileServer

SLEEP_TIMEOUT = 60
PLUG_TRIES = 40          # seconds that a slow guest may take to release the device
LOG_TAIL = 30
# What a kernel with debugging found.
WATCHERS = {"debug": ending.watchers, "kcsan": ending.races}
# Tests that count rounds make many more rounds.
LONG = ("guest.long=1",) if os.environ.get("LONG") else ()
LONGER = 8


class Broken(Exception):
    """A condition on a whole guest is not met."""


async def _unplug(guest, name="nvme"):
    """Unplugs an NVMe disk, after a request to the guest's kernel."""
    await guest.qmp.execute("device_del", {"id": name})


async def _plug(guest, name="nvme"):
    """Plugs an NVMe disk into its port again, once the port is empty."""
    words = next((words for words in guest.machine.devices if f",id={name}," in words), None)
    if not words:
        raise ValueError(f"no device of the machine is called {name}")
    driver, *properties = words.split(",")
    pairs = dict(pair.split("=", 1) for pair in properties)
    for _ in range(PLUG_TRIES):
        listed = await guest.qmp.execute("qom-list", {"path": "/machine/peripheral"})
        if pairs["id"] not in {one["name"] for one in listed}:
            break
        await asyncio.sleep(1)
    await guest.qmp.execute("device_add", {"driver": driver, **pairs})


async def _wake_later(guest):
    """Wakes the machine a second after it was suspended."""
    async def wake():
        with guest.qmp.listener("SUSPEND") as listener:
            listening.set()
            await asyncio.wait_for(listener.get(), SLEEP_TIMEOUT)
        await asyncio.sleep(1)
        await guest.qmp.execute("system_wakeup")

    listening = asyncio.Event()
    guest.waker = asyncio.create_task(wake())
    await listening.wait()


# The services that a guest may request with `host NAME`.
SERVICES = {"unplug-nvme": _unplug, "plug-nvme": _plug, "unplug": _unplug, "plug": _plug,
            "wake-later": _wake_later,
            **unit_services.SERVICES}


def demonstrate(boot, series, result, tick):
    """Runs what `make run` shows; each of its verdicts becomes a result."""
    out = lab.checkout() / "out" / boot.folder / f"{series}-{boot.name}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    try:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            shown = demo_run.Report(out / "report.txt", nowhere)
            shown.on_check = lambda good, text, why: result(
                f"run: {text}", "passed" if good else "failed", why)
            bed = testbed.get(series, flavour="debian" if boot.stock else "test")
            demo_run.demonstrate(bed, out, shown, lambda _: None, tick=tick, layout=boot.machine,
                                 iommu=boot.iommu or demo_run.IOMMU)
            shown.close()
    except LabError as err:
        raise Broken(str(err)) from err
    if shown.failed or not shown.passed:
        raise Broken(f"{shown.failed} of its verdicts failed; see {out / 'report.txt'}")
    (out / "qemu-trace.log").unlink()


def run(boot, kernel, tests, result, tick=None):
    """Boots, passes on every result, then checks the other witnesses; `tick` is called often."""
    series, flavour = kernel
    if boot.job == "demo":
        demonstrate(boot, series, result, tick)
        return
    folder = boot.folder if boot.flavour or flavour == "test" else f"check-{flavour}"
    out = lab.checkout() / "out" / folder / f"{series}-{boot.name}"
    shutil.rmtree(out, ignore_errors=True)
    guest = _Guest(result, boot.job)
    try:
        bed = testbed.get(series, flavour="debian" if boot.stock else flavour,
                          programs=boot.programs)
        files = {"kernel": bed.kernel.image}
        with FileServer(files) as server, tempfile.TemporaryDirectory(prefix="vtd-disks-") as disks:
            files["initramfs"] = boot.machine.image(bed.image, boot.tables, f"{disks}/initramfs")
            machine = bed.machine(boot.job, boot.machine.devices(disks, boot.devices),
                                  boot=boot.words, iommu=boot.machine.options(boot.iommu),
                                  image=files["initramfs"],
                                  append=[f"guest.port={server.port}", f"guest.end={boot.end}",
                                          f"guest.tests={','.join(tests)}", *LONG,
                                          *boot.machine.append(), *boot.append,
                                          *["guest.stays=1"] * boot.stays_on,
                                          *(boot.debug if flavour == "debug" else ())])
            machine = dataclasses.replace(machine, memory=boot.memory or machine.memory)
            timeout = boot.timeout * bed.slowness * (LONGER if LONG else 1)
            outcome = qemu.boot(machine, out, timeout, guest.line, SERVICES, tick)
    except LabError as err:
        raise Broken(str(err)) from err
    _keep_seconds(out, guest, outcome.seconds)
    if boot.keep:
        (out.parent / boot.keep).write_text("\n".join(guest.ktap) + "\n", encoding="utf-8")
    evidence = Evidence(guest.records, klog.read(outcome.console),
                        Trace.read(outcome.trace), outcome, server, "vtd", boot.machine)
    for test in tests:
        if claims := witness(test):
            guest.claims(test, _said(test, claims(evidence), guest))
    # The unit of a crashed kernel stays as it is.
    if boot.job != "crash":
        guest.claims("end", ending.ending(evidence, boot.stays_on))
    guest.claims("end", serving.claims(evidence))
    if flavour in WATCHERS and boot.job == "tests":
        guest.claims("end", WATCHERS[flavour](evidence))
    wrong = _whole(boot, evidence, guest)
    if wrong:
        tail = "\n".join(evidence.console[-LOG_TAIL:])
        raise Broken("\n".join(wrong) + f"\nThe console's end ({outcome.console}):\n{tail}")
    if not guest.failed:
        outcome.trace.unlink()


def _keep_seconds(out, guest, total):
    """Appends the seconds of each test, of which the first has those of the start, and the guest's."""
    with open(out.parent / "seconds.csv", "a", encoding="utf-8") as seconds:
        for test, took in [*guest.took, ("whole", total)]:
            seconds.write(f"{out.name},{test},{took:.1f}\n")


def _said(test, claims, guest):
    """Returns the claims of a test's witness; no claim about a passed test is a failure."""
    pairs = list(claims)
    silent = not pairs and test in guest.passed
    return pairs or [("the witness has a claim", "the marks of the test are not there")] * silent


class _Guest:
    """Sorts the lines of the channel."""

    def __init__(self, result, job):
        self.records, self.reader = Records(), ktap.Reader()
        self.result, self.job, self.failed = result, job, False
        self.broken, self.passed = set(), set()
        self.ktap, self.took, self.since = [], [], time.monotonic()

    def line(self, text):
        """Takes one line of the channel: KTAP or a record."""
        if not text.startswith(">"):
            self.records.add(text)
            return
        self.ktap.append(text[2:])
        found = self.reader.feed(text[2:])
        if not found:
            return
        detail = found.reason or "\n".join(found.notes)
        if found.top:
            now = time.monotonic()
            self.took.append((found.name, now - self.since))
            self.since = now
        if not found.top:
            self.broken.update([found.test] if found.outcome == "failed" else [])
            self._give(f"{found.test}: {found.name}", found.outcome, detail)
        elif found.outcome == "passed":
            self.passed.add(found.name)
        # BOOTS lists a test for guests that have what it needs.
        elif found.outcome == "skipped" and self.job == "tests":
            self._give(found.name, "failed", f"it must run here, and was skipped: {detail}")
        # A whole test's result counts only if no result within it was reported.
        elif found.outcome == "skipped" or (found.outcome == "failed"
                                            and found.test not in self.broken):
            self._give(found.name, found.outcome, detail)

    def claims(self, test, pairs):
        """Reports what another witness says about a test."""
        for claim, why in pairs:
            self._give(f"{test}: trace: {claim}", "failed" if why else "passed", why)

    def _give(self, name, outcome, detail):
        self.failed = self.failed or outcome == "failed"
        self.result(name, outcome, detail)


def _whole(boot, evidence, guest):
    wrong = guest.reader.missing()
    expected = {"reboot": "reset"}.get(boot.end, boot.end)
    if evidence.outcome.ending != expected:
        wrong.append(evidence.outcome.detail or
                     f"the guest ended with a {evidence.outcome.ending}, not a {expected}")
    # Races within the kernel itself are not judged; the driver's are a result.
    _, lines = klog.races(evidence.console)
    if boot.job == "crash":
        lines = klog.without_crash(lines)
    wrong += [f"the kernel complains: {line}" for line in klog.complaints(lines)]
    wrong += [f"problem in the guest: {record['text']}" for record in evidence.records.of("problem")]
    return wrong
