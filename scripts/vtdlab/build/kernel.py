# SPDX-License-Identifier: GPL-2.0
"""Test kernels: the newest of a series, configured from a fragment, built once.

The entry `kernel/<version>-<key>` has `build`, which is the kernel's own output folder and
so the KDIR of external modules, and `modules`, an installed module tree. An interrupted
build continues where it stopped: Kbuild rebuilds whatever has no finished command file.
"""

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.build import kconfig
from vtdlab.build.archive import Archive
from vtdlab.errors import LabError

SERIES = ("7.3", "7.2")
LLVM = "-19"
TOOLS = (("rustc", "--version"), (f"clang{LLVM}", "--version"),
         (f"ld.lld{LLVM}", "--version"), ("bindgen", "--version"))
CONFIG_TIMEOUT = 600
BUILD_TIMEOUT = 3600
# Lines of Kbuild.
COMPILED = (rb"  (?:HOST)?(?:CC|AS|RUSTC) ", "files compiled")


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel to boot and to build against; every path exists."""

    series: str      # 7.3
    version: str     # of the Debian package
    release: str     # the output of uname -r
    kdir: Path       # build folder, for make -C
    image: Path      # bzImage
    modules: Path    # lib/modules/<release>, installed, with modules.dep
    source: Path     # the source tree
    key: str
    tools: tuple = (f"LLVM={LLVM}",)    # make's variables for the compilers


def series_wanted(env=os.environ):
    """Returns the series that SERIES names; 7.3 without it."""
    series = env.get("SERIES") or SERIES[0]
    if series not in SERIES:
        raise LabError(f"SERIES={series} is not a series vtd is written for; "
                       f"use one of {', '.join(SERIES)}.")
    return series


def toolchain():
    """Returns the first lines of the tools' version texts."""
    lines = []
    for argv in TOOLS:
        text = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
        lines.append(text.splitlines()[0])
    return lines


def get(cache=None, series=None, flavour="test"):
    """Returns the test kernel of a series, built if it is not in the cache."""
    cache = cache or lab.Cache()
    series = series or series_wanted()
    archive = Archive(cache)
    archive.refresh()
    version = archive.newest(series)
    text = kconfig.fragment(flavour)
    key = lab.key(version, text, *toolchain())
    kind = "" if flavour == "test" else f"{flavour}-"
    folder = cache.entry("kernel", f"{version.replace(':', '_')}-{kind}{key}")
    with cache.lock(f"kernel-{folder.name}"):
        source = folder.parent.parent / "source" / version.replace(":", "_") / f"linux-source-{series}"
        if not lab.is_complete(folder):
            source = archive.source(series, version)
            _build(source, folder, text, f"Linux {series} ({kind}{version})")
    return _describe(folder, source, series, version, key)


def _describe(folder, source, series, version, key):
    build = folder / "build"
    release = (build / "include/config/kernel.release").read_text(encoding="ascii").strip()
    return Kernel(series, version, release, build, build / "arch/x86/boot/bzImage",
                  folder / "modules/lib/modules" / release, source, key)


def make(source, build, *targets):
    """Returns the make command line of every build step of a test kernel."""
    return ["make", "-C", str(source), f"O={build}", f"LLVM={LLVM}", f"-j{lab.jobs()}",
            "KBUILD_BUILD_USER=vtd", "KBUILD_BUILD_HOST=vtd", *targets]


def _build(source, folder, text, name):
    build = folder / "build"
    build.mkdir(parents=True, exist_ok=True)
    _configure(source, build, text, name)
    progress.run("kernel", f"{name} (some minutes; log {folder}/build.log)",
                 make(source, build, "bzImage", "modules"), folder / "build.log",
                 timeout=BUILD_TIMEOUT, counted=COMPILED)
    modules = folder / "modules"
    if modules.exists():
        shutil.rmtree(modules)
    progress.run("install", f"modules of {name}",
                 make(source, build, f"INSTALL_MOD_PATH={modules}", "modules_install"),
                 folder / "install.log", timeout=CONFIG_TIMEOUT)
    lab.set_complete(folder, name)


def _configure(source, build, text, name):
    config = build / ".config"
    allconfig = build / "fragment.config"
    if config.exists() and allconfig.exists():
        return  # an interrupted build: the same key has the same fragment
    config.unlink(missing_ok=True)
    new = build / "fragment.config.new"
    new.write_text(text, encoding="utf-8")
    progress.run("config", name,
                 make(source, build, f"KCONFIG_ALLCONFIG={new}", "allnoconfig"),
                 build.parent / "config.log", timeout=CONFIG_TIMEOUT)
    missing = kconfig.unmet(kconfig.parse(text), kconfig.parse(config.read_text(encoding="utf-8")))
    if missing:
        config.unlink()
        raise LabError(f"{name} does not take these options of the fragment: "
                       f"{', '.join(missing)}. Correct scripts/config, or the toolchain "
                       "that an option depends on.")
    new.rename(allconfig)
