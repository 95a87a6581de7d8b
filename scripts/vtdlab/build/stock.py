# SPDX-License-Identifier: GPL-2.0
"""Debian's own kernels: image and modules from their packages, and a folder to build modules
against, which no package has (scripts/prepare-kdir explains why).

The entry `stock/<version>-<release>-<key>` has `packages`, the unpacked packages of
Debian; `modules`, its modules, uncompressed and with an index; and `build`, the KDIR of
external modules.
"""

import dataclasses
import os
import re
import shutil

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.build import kconfig, kernel
from vtdlab.build.archive import Archive
from vtdlab.errors import LabError

RELEASE = re.compile(r"(?P<series>\d+\.\d+)\.\d+\S*?-(?:[a-z]+-)?amd64")
BUILT_FROM = re.compile(r"\bDebian (?P<version>\d\S+)")
FLAVOUR = "amd64"
LAYOUT = "1"    # of an entry; another number rebuilds all entries
PREPARE_TIMEOUT = 1800
INDEX_TIMEOUT = 300
# The packages of a kernel. If Debian has not signed an image yet, or no longer has it, the archive
# has the same image unsigned.
IMAGES = ("linux-binary-", "linux-binary-unsigned-")
OTHERS = ("linux-base-", "linux-modules-", "linux-headers-")
# The modules that a guest gets; all of them are a hundred megabytes.
MODULES = ("nvme", "e1000e", "igb", "igbvf", "virtio_blk", "virtio_net", "vfio_pci",
           "vfio_iommu_type1", "ext4")
# Options that these kernels are built without, and what each would have shown.
MISSED = {"CONFIG_IOMMUFD": "iommufd", "CONFIG_IOMMU_DEBUGFS": "a device's tables in debugfs",
          "CONFIG_DMA_MAP_BENCHMARK": "the DMA map benchmark"}


@dataclasses.dataclass(frozen=True)
class Choice:
    """One kernel of Debian's."""

    series: str     # 7.3
    version: str    # of its packages
    release: str    # the output of uname -r


def installed(uname=os.uname):
    """Returns the kernel that this machine runs, if it is Debian's and vtd supports it."""
    here = uname()
    release, version = RELEASE.fullmatch(here.release), BUILT_FROM.search(here.version)
    if release and version and release["series"] in kernel.SERIES:
        return Choice(release["series"], version["version"], here.release)
    return None


def choose(archive, series=None, env=os.environ, running=installed):
    """Returns the kernel to prepare for: of the requested series, else the running one, else the
    newest of the first series."""
    here = running()
    series = series or (env.get("SERIES") and kernel.series_wanted(env))
    if here and (not series or series == here.series):
        return here
    series = series or kernel.SERIES[0]
    release, version = archive.newest_of(
        re.compile(rf"linux-headers-({re.escape(series)}\.\d+\S*-{FLAVOUR})"),
        f"linux-headers-{series}.", exclude=("-cloud-", "-rt-"))
    return Choice(series, version, release)


def get(cache=None, series=None):
    """Returns the kernel, fetched and prepared if it is not in the cache."""
    cache = cache or lab.Cache()
    archive = Archive(cache)
    archive.refresh()
    choice = choose(archive, series)
    script = lab.checkout() / "scripts/prepare-kdir"
    key = lab.key(choice.version, choice.release, LAYOUT, script.read_bytes(),
                  *kernel.toolchain())
    name = choice.version.replace(":", "_")
    folder = cache.entry("stock", f"{name}-{choice.release}-{key}")
    source = archive.source_folder(choice.series, choice.version)
    with cache.lock(f"stock-{folder.name}"):
        if not lab.is_complete(folder):
            archive.source(choice.series, choice.version)
            shutil.rmtree(folder, ignore_errors=True)
            _fetch(archive, choice, folder / "packages")
            _index(choice, folder)
            _prepare(script, source, choice, folder)
            lab.set_complete(folder, choice.version)
    return _describe(choice, folder, source, key)


def _describe(choice, folder, source, key):
    config = (folder / "build/.config").read_text(encoding="utf-8")
    compiler = re.search(r'^CONFIG_CC_VERSION_TEXT="(\S+)', config, re.M)
    return kernel.Kernel(choice.series, choice.version, choice.release, folder / "build",
                         image(folder, choice.release),
                         folder / "modules/lib/modules" / choice.release, source, key,
                         tools=(f"CC={compiler[1]}",))


def image(folder, release):
    """Returns the image in the unpacked packages, signed or not."""
    for name in ("vmlinuz", "vmlinuz.unsigned"):
        path = folder / "packages/usr/lib/modules" / release / name
        if path.is_file():
            return path
    raise LabError(f"The packages of Linux {release} hold no usr/lib/modules/{release}/vmlinuz; "
                   "the archive's layout has changed, and scripts/vtdlab/build/stock.py must follow.")


def not_shown(built):
    """Returns one sentence: which parts of the driver this kernel cannot show, and why."""
    options = kconfig.parse((built.kdir / ".config").read_text(encoding="utf-8"))
    off = [f"{what} ({option})" for option, what in MISSED.items()
           if options.get(option, "n") == "n"]
    return f"Not to be seen on it, because it is built without: {', '.join(off)}." if off else ""


def _fetch(archive, choice, folder):
    signed, unsigned = (prefix + choice.release for prefix in IMAGES)
    binary = signed if archive.holds(signed, choice.version) else unsigned
    archive.unpack([binary, *(prefix + choice.release for prefix in OTHERS)], choice.version,
                   folder, f"Debian's Linux {choice.release}")


def _index(choice, folder):
    """Uncompresses the modules: the guest does not have a decompressor for each kind."""
    target = folder / "modules/lib/modules" / choice.release
    progress.run("unpack", f"modules of Linux {choice.release}",
                 ["sh", "-ec", 'mkdir -p "$2"; cp -r "$1/." "$2"; rm -f "$2"/vmlinuz* "$2"/build; '
                  'find "$2" -name "*.ko.xz" -print0 | xargs -0 -r -n 64 -P "$4" xz -d; '
                  'depmod -b "${2%/lib/modules/*}" "$3"', "sh",
                  str(folder / "packages/usr/lib/modules" / choice.release), str(target),
                  choice.release, str(lab.jobs())],
                 folder / "modules.log", timeout=INDEX_TIMEOUT)


def _prepare(script, source, choice, folder):
    headers = folder / "packages/usr/src" / f"linux-headers-{choice.release}"
    progress.run("prepare", f"a build folder for Linux {choice.release} (a minute or two)",
                 [str(script), str(source), str(headers), str(folder / "build")],
                 folder / "prepare.log", timeout=PREPARE_TIMEOUT)
