# SPDX-License-Identifier: GPL-2.0
"""Guests for measurements: the same for both drivers, except for the driver.

Kernel, initramfs and QEMU's command line are the same; intel_iommu= on the kernel's
command line selects the driver.
"""

import dataclasses
import shutil

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.bench import workloads
from vtdlab.build import initramfs, kernel, module, testmodules
from vtdlab.errors import LabError
from vtdlab.guest import interleave, testbed
from vtdlab.guest.channel import Records
from vtdlab.guest.qemu import TRACE, boot

BUILD_TIMEOUT = 600
TIMEOUT = 300
DRIVERS = ("intree", "vtd")
WHO = {"intree": ["intel_iommu=on"], "vtd": ["intel_iommu=off"]}
# The in-tree driver leaves units in legacy mode unless it is asked.
SCALABLE = {"intree": ["intel_iommu=on,sm_on"], "vtd": ["intel_iommu=off"]}
NAMES = {"intree": "in-tree", "vtd": "vtd"}
FORBIDDEN = ("DEBUG_GENERIC_PT", "PROVE_LOCKING", "LOCKDEP", "KASAN", "UBSAN", "DEBUG_PAGEALLOC",
             "DEBUG_ATOMIC_SLEEP", "DMA_API_DEBUG", "DEBUG_SPINLOCK", "DEBUG_VM", "DEBUG_LIST",
             "SLUB_DEBUG_ON", "RUST_DEBUG_ASSERTIONS", "RUST_OVERFLOW_CHECKS")

@dataclasses.dataclass(frozen=True)
class Mode:
    """How a guest flushes: the kernel's parameter, and the groups' type with it."""

    word: str
    group: str
    module: str = ""    # the parameter of vtd.ko


MODES = {"strict": Mode("iommu.strict=1", "DMA"), "lazy": Mode("iommu.strict=0", "DMA-FQ", "hold=0"),
         "held": Mode("iommu.strict=0", "DMA-FQ"),
         "identity": Mode("iommu.passthrough=1", "identity")}

# One processor, on which a nanosecond of the guest is one instruction.
COUNTING = ("-icount", "shift=0,sleep=off")
    # The kernel times its initcalls. The console's thread writes concurrently, about 300
    # instructions a character, which would count for the initcall that runs then: so it writes
    # nothing. The log has all lines nevertheless.
TIMED_START = ("initcall_debug", "loglevel=3")


@dataclasses.dataclass(frozen=True)
class Bench:
    """What every guest of one run is booted with."""

    bed: testbed.Testbed

    def run(self, driver, measure, out, *, timeout=TIMEOUT, mode="strict", **how):
        """Boots, measures, and returns the guest's records; `how` as `_machine` takes it."""
        records = Records()
        step = progress.Step("guest", f"{measure}, {NAMES[driver]}")
        outcome = boot(self._machine(driver, measure, mode, **how), out, timeout, records.add,
                       tick=step.update)
        step.end()
        return _judged(records, outcome, driver, measure, mode)

    def turns(self, measure, mode, hows, **how):
        """Like `run` for each driver, two processors each, taking turns; `hows` has for each
        driver (out, extra, append)."""
        return self.modes(measure, {driver: (driver, mode, *words)
                                    for driver, words in hows.items()}, **how)

    def modes(self, measure, hows, **how):
        """The same for guests with any names, each with its (driver, mode, out, extra, append)."""
        records = {name: Records() for name in hows}
        step = progress.Step("guests", f"{measure}, {' and '.join(hows)} by turns")
        outcomes = interleave.boot([(self._machine(driver, measure, mode, extra=extra, append=append,
                                              cpus=2, trace=(), **how),
                                out, len(hows) * TIMEOUT, records[name].add)
                               for name, (driver, mode, out, extra, append) in hows.items()],
                              step.update)
        step.end()
        return {name: _judged(records[name], outcome, driver, measure, mode)
                for (name, (driver, mode, *_)), outcome in zip(hows.items(), outcomes)}

    def _machine(self, driver, measure, mode, *, extra=(), append=(), cpus=1, trace=TRACE,
                 image=None, iommu=""):
        who = SCALABLE if "scalable-mode=on" in iommu else WHO
        module_words = [f"guest.vtd={MODES[mode].module}"] if MODES[mode].module else []
        machine = self.bed.machine("bench", [*edu(), *extra], driver=driver,
                                   iommu=iommu,
                                   boot=[*who[driver], "intremap=off", MODES[mode].word],
                                   append=[f"guest.measure={measure}", *module_words, *append],
                                   image=image)
        machine.cpus, machine.trace = cpus, trace
        return machine


def _judged(records, outcome, driver, measure, mode):
    """Returns the records, if all was measured that was to be measured."""
    console = outcome.console
    if outcome.ending != "poweroff":
        raise LabError(f"The guest measuring {measure} on {NAMES[driver]} did not end by "
                       f"itself ({outcome.ending}: {outcome.detail}); see {console}.")
    for record in records.of("measured"):
        if record["result"] != "ok":
            raise LabError(f"{record['name']} failed on {NAMES[driver]}: {record['why']}; "
                           f"see {console}.")
    for record in records.of("type"):
        if record["edu"] != MODES[mode].group:
            raise LabError(f"{measure} was to be measured {mode} on {NAMES[driver]}, but the "
                           f"group's type is {record['edu']}, not {MODES[mode].group}.")
    if not records.of("measured"):
        raise LabError(f"The guest measured nothing on {NAMES[driver]}; see {console}.")
    return records


def edu():
    """Returns the device for the measurement."""
    return ("-device", "edu,id=edu,dma_mask=0xffffffffffffffff,bus=pcie.0,addr=05.0")


def get(series=None, tools=False):
    """Builds what is not in the cache; refuses a kernel that would distort the figures.

    `tools`: also build what measures time.
    """
    cache = lab.Cache()
    built = kernel.get(cache, series)
    text = (built.kdir / ".config").read_text(encoding="utf-8")
    found = [name for name in FORBIDDEN if f"CONFIG_{name}=y" in text]
    if found:
        raise LabError(f"The kernel has {', '.join(found)} on, which would be measured instead "
                       "of the drivers; turn it off in scripts/config/test.config.")
    vtd = module.get(cache, built)
    contents = initramfs.Contents(built.modules, built.release, vtd,
                                  (module.get(cache, built, module.BENCH), _vectors(built, cache)),
                                  workloads.programs(built, cache) if tools else ())
    return Bench(testbed.Testbed(built, initramfs.get(contents, cache), vtd))


def _vectors(built, cache):
    """Returns the test module that allocates and raises interrupts."""
    return next(path for path in testmodules.get(built, cache) if path.stem == "vtd_vectors")


def plugin(cache=None):
    """Returns the profiler that QEMU loads."""
    cache = cache or lab.Cache()
    source = lab.checkout() / "bench/profile/window.c"
    header = source.with_name("plugin.h")
    folder = cache.entry("benchplugin", lab.key(source.read_bytes(), header.read_bytes()))
    with cache.lock(f"benchplugin-{folder.name}"):
        if not lab.is_complete(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            progress.run("build", "profiler for QEMU",
                         ["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror",
                          "-o", str(folder / "window.so"), str(source)],
                         folder / "build.log", timeout=BUILD_TIMEOUT)
            lab.set_complete(folder)
    return folder / "window.so"
