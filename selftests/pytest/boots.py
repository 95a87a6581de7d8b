# SPDX-License-Identifier: GPL-2.0
"""The guests of `make check`: how each is booted and which tests run in it."""

import dataclasses
import os

import chipsets
import device_tlbs
import isolation
from heads import read, run_in
from vtdlab.bench import workloads
from vtdlab.build import kselftest, vfio_selftests
from vtdlab.guest import devices, machines, testbed, vfio_machine

SERIES = ("7.3", "7.2")
TIMEOUT = 420
# How long hostile users run; `make user-fuzz` runs longer.
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS") or 28)
SHORT = "guest.short=1"


def _stride(usual):
    """Only every STRIDE-th of a load's allocations or steps fails; STRIDE=1 is all of them."""
    return f"guest.stride={os.environ.get('STRIDE') or usual}"


@dataclasses.dataclass(frozen=True)
class Boot:
    """One way to boot."""

    name: str
    tests: tuple = ()       # of a job that is no list of tests; else the heads of the tests say it
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


_BOOTS = (
    Boot("demo", ("run",), older=("run",), job="demo", on=("test",),
         left_out="all that the demo does is in other tests, too"),
    Boot("stock", ("run",), job="demo", on=("test",), stock=True,
         left_out="its kernel is Debian's, as Debian built it"),
    # The longest guests start first, so that none runs alone at the end. These are the part of
    # `make check-debug` and `make check-races` that `make check` has time for:
    Boot("watched", on=("test",), flavour="debug", devices=devices.few,
         append=(*isolation.WORDS, _stride(29), *testbed.ISOLATED),
         tables=isolation.reserving, left_out="its tests are in other guests here", long=True),
    Boot("raced", on=("test",), flavour="kcsan",
         left_out="KCSAN and KASAN exclude each other", long=True),
    Boot("vfio-selftests", devices=vfio_machine.standard, memory="4G",
         append=(*testbed.ISOLATED, *vfio_machine.VIRTUAL_FUNCTIONS,
                 *vfio_machine.LARGE_PAGES),
         programs=vfio_selftests.programs, timeout=1500, long=True, keep="vfio-selftests.ktap"),
    Boot("ordinary", end="reboot"),
    Boot("isolated-interrupts", devices=vfio_machine.interrupting, append=testbed.ISOLATED),
    Boot("injected-errors", end="reboot", append=testbed.ISOLATED),
    Boot("in-tree-driver-on", words=("intel_iommu=on", "intremap=off")),
    Boot("interrupt-remapping-on", words=("intel_iommu=off",)),
    Boot("isolation",
         append=(*isolation.WORDS, "guest.snoop=0", "guest.optin=0"),
         devices=isolation.machine, tables=isolation.tables),
    Boot("several-units", devices=chipsets.machine, tables=chipsets.several,
         append=(*isolation.WORDS, "guest.units=several")),
    Boot("no-translation", iommu="dma-translation=off", devices=devices.few,
         append=("guest.units=none",), one_unit="no unit translates"),
    # Ends with a reset: QEMU's power-off does nothing after a suspend.
    Boot("graphics-unit", devices=devices.few, tables=chipsets.alone, end="reboot",
         stays_on=True, append=(*isolation.WORDS, "guest.units=alone"),
         one_unit="firmware lists no other"),
    Boot("lazy-by-kernel", append=("iommu.strict=0",)),
    Boot("lazy-by-module"),
    # The test kernel neither swaps nor has transparent huge pages. Little memory is soon used up.
    Boot("pressed", on=("test",), stock=True, memory="640M",
         left_out="its kernel is Debian's, as Debian built it"),
    # Ends with a reset: QEMU's power-off does nothing after a suspend.
    Boot("held", end="reboot", timeout=2 * TIMEOUT),
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
    Boot("suspended", end="reboot", programs=workloads.fio, append=testbed.ISOLATED),
    # A warning of any kind ends this guest.
    Boot("late", devices=devices.late, tables=devices.late_tables,
         append=("panic_on_warn=1", devices.NATIVE_PORTS, *testbed.ISOLATED),
         programs=workloads.fio),
    # pciehp of 7.3 takes the lock of its slot and that of all removals in either order. Lockdep
    # would report that at the first unplug, and then stop checking.
    Boot("hot-plug", devices=vfio_machine.hotplug,
         append=(*isolation.WORDS, devices.NATIVE_PORTS, *testbed.ISOLATED), programs=workloads.fio,
         debug=("lockdep.prove_locking=0",)),
    # Ends with a reset because of LONG: QEMU's power-off does nothing after a suspend.
    Boot("server", end="reboot", alone=True, timeout=2 * TIMEOUT,
         iommu="scalable-mode=on", machine=machines.THREE_BUSES,
         append=(devices.NATIVE_PORTS, SHORT), programs=workloads.fio),
    Boot("client", machine=machines.CLIENT),
    Boot("other-topologies", devices=devices.topology,
         tables=devices.topology_tables, append=isolation.WORDS),
    Boot("call-failures",
         append=("panic_on_warn=1", "init_on_free=1", *isolation.WORDS, _stride(5),
                 *testbed.ISOLATED)),
    # Allocations can be made to fail only on the debug kernel. Fewer devices make fewer
    # allocations, of which fewer are skipped; one device has reserved memory, so that allocations
    # for that fail, too.
    Boot("failing-allocations", on=("debug",), devices=devices.few,
         append=(*isolation.WORDS, _stride(17), *testbed.ISOLATED), tables=isolation.reserving,
         keep="alloc-failures.ktap"),
    # Lock debugging must still be on at the end, with more devices than the locks that it records
    # of a task.
    Boot("many-devices", on=("debug",), devices=devices.crowded),
    Boot("three-levels", iommu="aw-bits=39", append=vfio_machine.HUGE_PAGES),
    Boot("without-queue", append=("guest.vtd=register_invalidation=1",)),
    Boot("caching-mode", iommu="caching-mode=on"),
    # Ends with a reset: QEMU's power-off does nothing after a suspend.
    Boot("scalable", iommu="scalable-mode=on", end="reboot", timeout=2 * TIMEOUT,
         programs=workloads.fio, one_unit="the lab's further units have no scalable mode"),
    Boot("scalable-caching", iommu="scalable-mode=on,caching-mode=on",
         one_unit="the lab's further units have no scalable mode"),
    Boot("scalable-places", iommu="scalable-mode=on", devices=devices.topology,
         tables=devices.topology_tables, append=isolation.WORDS,
         one_unit="the lab's further units have no scalable mode"),
    Boot("first-stage", iommu="scalable-mode=on,fsts=on", append=vfio_machine.HUGE_PAGES,
         one_unit="the lab's further units have no scalable mode"),
    Boot("device-tlb", iommu="device-iotlb=on,ite-time=1000000", devices=device_tlbs.machine,
         machine=device_tlbs.MACHINE, tables=device_tlbs.tables,
         append=(devices.NATIVE_PORTS, "guest.vtd=ats=2"), programs=workloads.fio),
    Boot("device-tlb-scalable", iommu="scalable-mode=on,device-iotlb=on,ite-time=1000000",
         devices=device_tlbs.machine, machine=device_tlbs.MACHINE, tables=device_tlbs.tables,
         append=(devices.NATIVE_PORTS, "guest.vtd=ats=2"), programs=workloads.fio),
    Boot("users", devices=vfio_machine.grouped,
         iommu="snoop-control=on", tables=vfio_machine.opted_in,
         append=(*vfio_machine.HUGE_PAGES, "guest.snoop=1", "guest.optin=1", *testbed.ISOLATED)),
    Boot("hostile", devices=vfio_machine.standard,
         append=(*isolation.WORDS, f"guest.fuzz_seconds={FUZZ_SECONDS}",
                 f"guest.fuzz_seed={os.environ.get('FUZZ_SEED', '')}"),
         timeout=2 * TIMEOUT + FUZZ_SECONDS),
    Boot("races", on=("kcsan",),
         left_out="its tests are in other guests here; KCSAN and KASAN exclude each other"),
    Boot("remapped-races", on=("kcsan",),
         devices=vfio_machine.interrupting, append=testbed.ISOLATED,
         left_out="its tests are in other guests here; KCSAN and KASAN exclude each other"),
)

# Of several units, what takes minutes: `make check` has it in a short form.
_WHOLE = (
    Boot("failing-queues", machine=machines.SERVER, programs=workloads.fio),
    # Ends with a reset: QEMU's power-off does nothing after a suspend.
    Boot("shared-domains", end="reboot", machine=machines.THREE_BUSES,
         alone=True, append=(devices.NATIVE_PORTS,), programs=workloads.fio),
)


def _with_tests(boot, heads):
    if boot.job != "tests":
        return boot
    return dataclasses.replace(boot, tests=run_in(boot.name, heads),
                               older=run_in(boot.name, heads, older=True))


_HEADS = read()
BOOTS = tuple(_with_tests(boot, _HEADS) for boot in _BOOTS)
WHOLE = tuple(_with_tests(boot, _HEADS) for boot in _WHOLE)


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


# QEMU's unit has one stage in scalable mode.
STAGES = {"second": "scalable-mode=on", "first": "scalable-mode=on,fsts=on"}


def scalable(stages):
    """Returns the boots of `make check-scalable`: all tests with a unit in scalable mode that has
    only this stage."""
    return [dataclasses.replace(boot, name=f"{stage}-stage-{boot.name}",
                                iommu=",".join(filter(None, (boot.iommu, STAGES[stage]))),
                                folder="check-scalable", timeout=2 * boot.timeout)
            for stage in stages for boot in BOOTS
            if not boot.flavour and not boot.stock
            and "scalable-mode" not in boot.iommu and "=off" not in boot.iommu
            # A first stage has 48 bits. Without its queue a unit is in legacy mode.
            and not (stage == "first" and "aw-bits" in boot.iommu)
            and boot.name != "without-queue"]


# Which guests boot which kernel.
COMMANDS = {"test": "make check", "debug": "make check-debug", "kcsan": "make check-races"}


def flavours_of(test):
    """Returns the kernels on which this test can be requested."""
    return [flavour for flavour in COMMANDS
            if any(test in boot.tests_of(SERIES[0], flavour) for boot in BOOTS if not boot.flavour)]
