# SPDX-License-Identifier: GPL-2.0
"""The guests of `make check`: how each is booted and which tests run in it."""

import asyncio
import dataclasses
import os
import shutil
import tempfile

import chipsets
import isolation
import unit_services
from vtdlab import cache as lab
from vtdlab import benchtools, devices, klog, kselftest, ktap, qemu, demo, testbed
from vtdlab import witness, witness_chipset, witness_inspect, witness_isolation, witness_lifecycle
from vtdlab import run as demo_run
from vtdlab import machines, vfio_machine, vfio_selftests, witness_matrix, witness_shared
from vtdlab import witness_interrupts, witness_queue, witness_units
from vtdlab.errors import LabError
from vtdlab.evidence import Evidence
from vtdlab.fileserver import FileServer
from vtdlab.channel import Records
from vtdlab.trace import Trace

SERIES = ("7.3", "7.2")
TIMEOUT = 420
SLEEP_TIMEOUT = 60
PLUG_TRIES = 40          # seconds that a slow guest may take to release the device
# How long hostile users run; `make user-fuzz` runs longer.
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS") or 28)
# Tests that count rounds make many more rounds.
LONG = ("guest.long=1",) if os.environ.get("LONG") else ()
LONGER = 8
SHORT = "guest.short=1"
LOG_TAIL = 30
# What a kernel with debugging found.
WATCHERS = {"debug": witness.watchers, "kcsan": witness.races}
WITNESSES = (witness.BY_TEST | witness_isolation.BY_TEST | witness_lifecycle.BY_TEST
             | witness_matrix.BY_TEST | witness_inspect.BY_TEST | witness_chipset.BY_TEST
             | witness_shared.BY_TEST | witness_interrupts.BY_TEST | witness_queue.BY_TEST)


def _stride(usual):
    """Only every STRIDE-th of a load's allocations or steps fails; STRIDE=1 is all of them."""
    return f"guest.stride={os.environ.get('STRIDE') or usual}"


class Broken(Exception):
    """A condition on a whole guest is not met."""


@dataclasses.dataclass(frozen=True)
class Boot:
    """One way to boot."""

    name: str
    tests: tuple
    older: tuple = ()       # the shorter list, for all series but the first
    words: tuple = testbed.OURS
    iommu: str = ""
    end: str = "poweroff"
    devices: object = devices.standard
    job: str = "tests"
    on: tuple = ("test", "debug")   # flavours of the kernel
    flavour: str = ""       # its own flavour, whatever the others have
    left_out: str = ""      # why it is not on the debug kernel
    debug: tuple = ()       # further words on the debug kernel; the last of a name counts
    memory: str = ""        # what the kernel needs, if not said
    append: tuple = ()      # further words of the kernel command line
    programs: object = None # (kernel) -> further programs for the guest
    timeout: int = TIMEOUT  # seconds
    long: bool = False      # left out with QUICK=1
    alone: bool = False     # it measures time, so no other guest runs
    folder: str = "check"   # in out/
    keep: str = ""          # where in out/check its KTAP is stored
    stock: bool = False     # Debian's kernel in place of the test kernel
    machine: object = machines.STANDARD
    one_unit: str = ""      # why it is not on a machine with several units
    tables: object = None   # (machine's dmar) -> {name: bytes}, firmware tables of the lab
    stays_on: bool = False  # the driver cannot be unloaded, and translation is on at the end

    def tests_of(self, series, flavour="test", whole=False):
        """Returns the tests that run on this kernel; all of them on any series if `whole`."""
        if flavour not in self.on:
            return []
        # The debug and race kernels run everything, on any series.
        whole = whole or series == SERIES[0] or flavour != "test"
        return list(self.tests if whole else self.older)


BOOTS = (
    Boot("demo", ("run",), older=("run",), job="demo", on=("test",),
         left_out="all that the demo does is in other tests, too"),
    Boot("stock", ("run",), job="demo", on=("test",), stock=True,
         left_out="its kernel is Debian's, as Debian built it"),
    # The longest guests start first, so that none runs alone at the end. These are the part of
    # `make check-debug` and `make check-races` that `make check` has time for:
    Boot("watched", ("attack", "alloc-failures"), on=("test",), flavour="debug",
         devices=devices.few, append=(*isolation.WORDS, _stride(29), *testbed.ISOLATED),
         tables=isolation.reserving, left_out="its tests are in other guests here", long=True),
    Boot("raced", ("domain", "fault"), on=("test",), flavour="kcsan",
         left_out="KCSAN and KASAN exclude each other", long=True),
    Boot("vfio-selftests", ("vfio-selftests",), devices=vfio_machine.standard, memory="4G",
         append=(*testbed.ISOLATED, *vfio_machine.VIRTUAL_FUNCTIONS,
                 *vfio_machine.LARGE_PAGES),
         programs=vfio_selftests.programs, timeout=1500, long=True, keep="vfio-selftests.ktap"),
    Boot("ordinary", ("refusal", "load", "dma", "attack", "fault", "domain", "trace-events", "events",
                      "rescan", "vfio", "interrupts", "unload"),
         older=("load", "dma", "attack", "events", "unload"), end="reboot"),
    Boot("isolated-interrupts", ("interrupts", "vectors"), older=("interrupts",),
         devices=vfio_machine.interrupting, append=testbed.ISOLATED),
    Boot("injected-errors", ("unit-failure",), end="reboot", append=testbed.ISOLATED),
    Boot("in-tree-driver-on", ("refusal",), words=("intel_iommu=on", "intremap=off")),
    Boot("interrupt-remapping-on", ("refusal",), words=("intel_iommu=off",)),
    Boot("isolation", ("reserved", "ownership", "limited-unit", "capabilities", "strict", "walk", "adopted",
                       "tool", "rmrr"),
         older=("reserved", "ownership", "limited-unit", "capabilities", "strict", "walk", "adopted", "tool"),
         append=(*isolation.WORDS, "guest.snoop=0", "guest.optin=0"),
         devices=isolation.machine, tables=isolation.tables),
    Boot("several-units", ("chipset",), devices=chipsets.machine, tables=chipsets.several,
         append=(*isolation.WORDS, "guest.units=several")),
    Boot("no-translation", ("chipset",), iommu="dma-translation=off", devices=devices.few,
         append=("guest.units=none",), one_unit="no unit translates"),
    # Ends with a reset: QEMU's power-off does nothing after a suspend.
    Boot("graphics-unit", ("graphics",), devices=devices.few, tables=chipsets.alone, end="reboot",
         stays_on=True, append=(*isolation.WORDS, "guest.units=alone"),
         one_unit="firmware lists no other"),
    Boot("lazy-by-kernel", ("lazy",), append=("iommu.strict=0",)),
    Boot("lazy-by-module", ("lazy",)),
    # The test kernel neither swaps nor has transparent huge pages. Little memory is soon used up.
    Boot("pressed", ("events", "hold-pressure"), on=("test",), stock=True, memory="640M",
         left_out="its kernel is Debian's, as Debian built it"),
    # Ends with a reset: QEMU's power-off does nothing after a suspend.
    Boot("held", ("hold", "hold-lifetime"), older=("hold",), end="reboot", timeout=2 * TIMEOUT),
    Boot("next-kernel", ("kexec",), job="kexec", append=testbed.ISOLATED),
    Boot("kernel-after-in-tree", ("kexec",), job="kexec", words=("intel_iommu=on", "intremap=off"),
         append=("guest.first=intree",)),
    Boot("crash-kernel", ("crash",), job="crash", append=("crashkernel=384M",),
         debug=("crashkernel=1G",)),
    Boot("crash-kernel-in-tree", ("crash",), job="crash",
         append=("crashkernel=384M", "guest.crash=intree", *testbed.ISOLATED),
         debug=("crashkernel=1G",)),
    Boot("crash-kernel-isolated", ("crash",), job="crash", on=("debug",),
         append=("crashkernel=1G", "guest.crash=isolated", *testbed.ISOLATED)),
    # The tests as the kernel's own kselftest builds, packs and runs them.
    Boot("kselftest", ("kselftest",), job="kselftest", programs=kselftest.programs,
         append=("guest.runs=load,dma,unload", "guest.skips=viability")),
    # Ends with a reset: QEMU's power-off does nothing after a suspend.
    Boot("suspended", ("suspend", "inspect"), end="reboot", programs=benchtools.fio,
         append=testbed.ISOLATED),
    # A warning of any kind ends this guest.
    Boot("late", ("late", "detach", "load-cycles"), devices=devices.late, tables=devices.late_tables,
         append=("panic_on_warn=1", devices.NATIVE_PORTS, *testbed.ISOLATED),
         programs=benchtools.fio),
    # pciehp of 7.3 takes the lock of its slot and that of all removals in either order. Lockdep
    # would report that at the first unplug, and then stop checking.
    Boot("hot-plug", ("hotplug",), devices=vfio_machine.hotplug,
         append=(*isolation.WORDS, devices.NATIVE_PORTS, *testbed.ISOLATED), programs=benchtools.fio,
         debug=("lockdep.prove_locking=0",)),
    # Ends with a reset because of LONG: QEMU's power-off does nothing after a suspend.
    Boot("server", ("load", "attack", "requester", "interrupts", "queue-errors", "units"),
         end="reboot", alone=True, timeout=2 * TIMEOUT,
         machine=machines.THREE_BUSES, append=(devices.NATIVE_PORTS, SHORT), programs=benchtools.fio),
    Boot("client", ("load", "attack", "domain", "vfio", "unload"), older=("load", "attack", "vfio"),
         machine=machines.CLIENT),
    Boot("other-topologies", ("topology",), devices=devices.topology,
         tables=devices.topology_tables, append=isolation.WORDS),
    Boot("call-failures", ("call-failures", "hotplug-races"),
         append=("panic_on_warn=1", "init_on_free=1", *isolation.WORDS, _stride(5),
                 *testbed.ISOLATED)),
    # Allocations can be made to fail only on the debug kernel. Fewer devices make fewer
    # allocations, of which fewer are skipped; one device has reserved memory, so that allocations
    # for that fail, too.
    Boot("failing-allocations", ("alloc-failures",), on=("debug",), devices=devices.few,
         append=(*isolation.WORDS, _stride(17), *testbed.ISOLATED), tables=isolation.reserving,
         keep="alloc-failures.ktap"),
    # Lock debugging must still be on at the end, with more devices than the locks that it records
    # of a task.
    Boot("many-devices", ("unload",), on=("debug",), devices=devices.crowded),
    Boot("three-levels", ("load", "dma", "attack", "translation", "requests"),
         iommu="aw-bits=39", append=vfio_machine.HUGE_PAGES),
    Boot("without-queue", ("load", "dma", "attack", "events"), append=("guest.vtd=register_invalidation=1",)),
    Boot("caching-mode", ("load", "dma", "attack", "fault", "user-io"), iommu="caching-mode=on"),
    Boot("users", ("capabilities", "requests", "user-limits", "user-io", "viability", "sriov"),
         older=("capabilities", "translation", "requests", "user-io"), devices=vfio_machine.grouped,
         iommu="snoop-control=on", tables=vfio_machine.opted_in,
         append=(*vfio_machine.HUGE_PAGES, "guest.snoop=1", "guest.optin=1", *testbed.ISOLATED)),
    Boot("hostile", ("matrix", "user-fuzz"), devices=vfio_machine.standard,
         append=(*isolation.WORDS, f"guest.fuzz_seconds={FUZZ_SECONDS}",
                 f"guest.fuzz_seed={os.environ.get('FUZZ_SEED', '')}"),
         timeout=2 * TIMEOUT + FUZZ_SECONDS),
    Boot("races", ("dma", "domain", "vfio", "fault", "user-io", "hold", "unload"), on=("kcsan",),
         left_out="its tests are in other guests here; KCSAN and KASAN exclude each other"),
    Boot("remapped-races", ("interrupts", "vectors", "user-io", "sriov"), on=("kcsan",),
         devices=vfio_machine.interrupting, append=testbed.ISOLATED,
         left_out="its tests are in other guests here; KCSAN and KASAN exclude each other"),
)

# Of several units, what takes minutes: `make check` has it in a short form.
WHOLE = (
    Boot("failing-queues", ("queue-errors",), machine=machines.SERVER, programs=benchtools.fio),
    # Ends with a reset: QEMU's power-off does nothing after a suspend.
    Boot("shared-domains", ("requester", "units"), end="reboot", machine=machines.THREE_BUSES,
         alone=True, append=(devices.NATIVE_PORTS,), programs=benchtools.fio),
)


def units(layouts):
    """Returns the boots of `make check-units`: all tests on each machine with several units. Those
    of WHOLE need what a server has."""
    whole = [dataclasses.replace(boot, folder="check-units", timeout=2 * boot.timeout)
             for boot in WHOLE if machines.SERVER in layouts]
    return [dataclasses.replace(boot, name=f"{layout.name}-{boot.name}", machine=layout,
                                folder="check-units", timeout=2 * boot.timeout)
            for layout in layouts for boot in BOOTS
            if "test" in boot.on and not boot.flavour and not boot.stock and not boot.one_unit
            and boot.machine is machines.STANDARD] + whole


# Which guests boot which kernel.
COMMANDS = {"test": "make check", "debug": "make check-debug", "kcsan": "make check-races"}


def flavours_of(test):
    """Returns the kernels on which this test can be requested."""
    return [flavour for flavour in COMMANDS
            if any(test in boot.tests_of(SERIES[0], flavour) for boot in BOOTS if not boot.flavour)]


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
SERVICES = {"unplug-nvme": _unplug, "plug-nvme": _plug, "wake-later": _wake_later,
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
            demo_run.demonstrate(bed, out, shown, lambda _: None, tick=tick, layout=boot.machine)
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
    if boot.keep:
        (out.parent / boot.keep).write_text("\n".join(guest.ktap) + "\n", encoding="utf-8")
    evidence = Evidence(guest.records, klog.read(outcome.console),
                        Trace.read(outcome.trace), outcome, server, "vtd", boot.machine)
    for test in tests:
        if test in WITNESSES:
            guest.claims(test, _said(test, evidence, guest))
    # The unit of a crashed kernel stays as it is.
    if boot.job != "crash":
        guest.claims("end", witness.ending(evidence, boot.stays_on))
    guest.claims("end", witness_units.units(evidence))
    if flavour in WATCHERS and boot.job == "tests":
        guest.claims("end", WATCHERS[flavour](evidence))
    wrong = _whole(boot, evidence, guest)
    if wrong:
        tail = "\n".join(evidence.console[-LOG_TAIL:])
        raise Broken("\n".join(wrong) + f"\nThe console's end ({outcome.console}):\n{tail}")
    if not guest.failed:
        outcome.trace.unlink()


def _said(test, evidence, guest):
    """Yields the claims of a test's witness; no claim about a passed test is a failure."""
    pairs = list(WITNESSES[test](evidence))
    silent = not pairs and test in guest.passed
    return pairs or [("the witness has a claim", "the marks of the test are not there")] * silent


class _Guest:
    """Sorts the lines of the channel."""

    def __init__(self, result, job):
        self.records, self.reader = Records(), ktap.Reader()
        self.result, self.job, self.failed = result, job, False
        self.broken, self.passed = set(), set()
        self.ktap = []

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
