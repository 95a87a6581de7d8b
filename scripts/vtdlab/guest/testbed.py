# SPDX-License-Identifier: GPL-2.0
"""Makes a bootable machine from a kernel series: kernel, modules, initramfs."""

import dataclasses
from pathlib import Path

from vtdlab import cache as lab
from vtdlab.build import initramfs, kernel, stock, testmodules, tool
from vtdlab.guest.qemu import Machine

# In-tree remapping is off, so that the units are free for vtd.
OURS = ("intel_iommu=off", "intremap=off")
# Without IO-APICs, whose interrupts no module can remap, each device can raise only its own.
ISOLATED = ("noapic",)
IN_TREE = ("intel_iommu=on", "intremap=off", "iommu.strict=1")

# On the debug kernel the first report ends the guest. That kernel is several times as slow, which
# its own watch-dogs and the tests' waits have to allow for.
DEBUG = ("panic_on_warn=1", "kasan.fault=panic", "iommu.debug_pagealloc=1",
         "rcupdate.rcu_cpu_stall_timeout=300", "sysctl.kernel.hung_task_timeout_secs=600",
         "guest.patience=6", "guest.shrink=3")
# Debian's kernel has virtio_pci built in: it binds before any module is loaded.
DEBIAN = ("guest.vtd=bound=2",)

# KCSAN watches more accesses than by default, and for longer.
RACES = ("kcsan.skip_watch=200", "kcsan.udelay_task=150", "guest.patience=4", "guest.shrink=2")

WORDS = {"debug": DEBUG, "kcsan": RACES, "debian": DEBIAN}
SLOWNESS = {"test": 1, "debug": 6, "kcsan": 4, "debian": 3}
PATIENCE = 45           # seconds; a boot of the ordinary kernel takes at most ten
MEMORY = {"test": "2G", "debug": "4G", "kcsan": "2G", "debian": "2G"}


@dataclasses.dataclass(frozen=True)
class Testbed:
    """What every guest of a series is booted with."""

    kernel: kernel.Kernel
    image: Path             # initramfs
    vtd: Path               # vtd.ko, or None
    flavour: str = "test"

    @property
    def slowness(self):
        """Returns how many times slower a guest is than with the ordinary kernel."""
        return SLOWNESS[self.flavour]

    def machine(self, job, devices, *, driver="vtd", append=(), iommu="", boot=None,
                image=None):
        """Returns a machine that runs one job of scripts/guest."""
        words = list(boot if boot is not None else OURS if driver == "vtd" else IN_TREE)
        words += WORDS.get(self.flavour, ())
        # A test reads the log from its beginning on, which must not have been overwritten.
        words += ["loglevel=7", "log_buf_len=4M"]
        words += [f"guest.job={job}", f"guest.driver={driver}", *append]
        return Machine(self.kernel.image, image or self.image, words, list(devices), iommu,
                       MEMORY[self.flavour], patience=PATIENCE * self.slowness)


def get(series=None, with_vtd=True, flavour="test", programs=None):
    """Builds whatever is not in the cache; `programs(kernel)` are further programs of the guest,
    which always has the tests' and vtd."""
    cache = lab.Cache()
    stocked = flavour == "debian"
    built = stock.get(cache, series) if stocked else kernel.get(cache, series, flavour)
    vtd = _module(cache, built) if with_vtd else None
    tests = testmodules.get(built, cache)
    if vtd and not stocked:
        tests = (*tests, testmodules.relinked(vtd, tests, cache))
    contents = initramfs.Contents(built.modules, built.release, vtd, tests,
                                  (*testmodules.programs(cache), ("vtd", tool.build()),
                                   *(programs(built) if programs else ())),
                                  stock.MODULES if stocked else ())
    return Testbed(built, initramfs.get(contents, cache), vtd, flavour)


def _module(cache, built):
    from vtdlab.build import module  # pylint: disable=import-outside-toplevel
    return module.get(cache, built)
