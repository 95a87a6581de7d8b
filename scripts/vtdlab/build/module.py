# SPDX-License-Identifier: GPL-2.0
"""vtd.ko, or the module that measures it, for a kernel; built outside the checkout.

The sources are copied to `module-build/<kernel>-<checkout>` and compiled there incrementally,
so that kernels do not affect each other and the checkout stays unchanged. The result is stored
as `module/<kernel>-<sources>/vtd.ko`, that of the other module as
`bench-module/<kernel>-<sources>/vtd_bench.ko`. So the same sources are never compiled twice for
the same kernel, and a file that one run boots is never rewritten by another.
"""

import dataclasses
import os
import shutil
from pathlib import Path

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.build import buildlog
from vtdlab.build import kernel as kernels
from vtdlab.errors import LabError

BUILD_TIMEOUT = 900
PRODUCTS = (".o", ".ko", ".mod", ".mod.c", ".a", ".bc", ".rmeta", ".rlib", ".so", ".d",
            ".order", ".symvers", "_generated.rs")
MANIFEST = ".copied"


@dataclasses.dataclass(frozen=True)
class Module:
    """What is built, from which sources, and where in the cache."""

    name: str
    parts: tuple
    folder: str

    @property
    def ko(self):
        """Returns the file that insmod takes."""
        return f"{self.name}.ko"

    @property
    def kept(self):
        """Returns what is stored of a build; another checkout with the same sources gets only this."""
        return (self.ko, "build.log", "rust/bindings/bindings_generated.rs")

    @property
    def arguments(self):
        """Returns make's variable that selects the module."""
        return (f"VTD_MODULE={self.name}",)


VTD = Module("vtd", ("Kbuild", "rust", "src"), "module")
BENCH = Module("vtd_bench", ("Kbuild", "rust", "bench"), "bench-module")
ALL = (VTD, BENCH)


def sources(top, module=VTD):
    """Returns path and contents of every file that the module is made from."""
    found = {}
    for part in module.parts:
        path = top / part
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        for file in files:
            relative = file.relative_to(top)
            # Hidden files belong to editors and Kbuild, tests to cargo, the profiler to QEMU.
            hidden = any(name.startswith(".") or name in ("tests", "profile")
                         for name in relative.parts)
            if file.is_file() and not hidden and not file.name.endswith(PRODUCTS):
                found[str(relative)] = file.read_bytes()
    if "Kbuild" not in found:
        raise LabError(f"{top} holds no Kbuild, so it is no checkout of vtd.")
    return found


def sync(files, folder):
    """Makes `folder` have these files; unchanged ones keep their time stamps."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / MANIFEST
    before = manifest.read_text(encoding="utf-8").split("\n") if manifest.exists() else []
    for name in set(before) - set(files) - {""}:
        (folder / name).unlink(missing_ok=True)
    for name, data in files.items():
        path = folder / name
        if path.is_file() and path.read_bytes() == data:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    manifest.write_text("\n".join(sorted(files)), encoding="utf-8")


def build(folder, kernel, log, *, text, extra=()):
    """Compiles the external module in `folder` with the compilers that built the kernel.

    The products are in `folder`. Raises LabError with the compilers' errors.
    """
    argv = ["make", "-C", str(kernel.kdir), f"M={folder}", *kernel.tools, f"-j{lab.jobs()}",
            *extra, "modules"]
    progress.run("build", text, argv, log, timeout=BUILD_TIMEOUT, digest=buildlog.errors)


def work_folder(cache, kernel, purpose):
    """Returns the folder in which this checkout's sources are compiled for this kernel."""
    return cache.entry(purpose, f"{kernel.release}-{kernel.key}-{lab.key(lab.checkout())}")


def get(cache=None, kernel=None, module=VTD):
    """Returns the path of the module for a kernel, compiled if its sources are new."""
    cache = cache or lab.Cache()
    kernel = kernel or kernels.get(cache)
    files = sources(lab.checkout(), module)
    key = lab.key(kernel.key, *module.kept,
                  *(part for item in sorted(files.items()) for part in item))
    entry = cache.entry(module.folder, f"{kernel.release}-{key}")
    result = entry / module.ko
    if lab.is_complete(entry):
        cache.used(entry)
        return result
    purpose = f"{module.folder}-build"
    work = work_folder(cache, kernel, purpose)
    with cache.lock(f"{purpose}-{work.name}"):
        if not lab.is_complete(entry):
            sync(files, work)
            build(work, kernel, work / "build.log", text=f"{module.ko} for Linux {kernel.release}",
                  extra=module.arguments)
            if not (work / module.ko).is_file():
                raise LabError(f"The build for Linux {kernel.release} ended well but made no "
                               f"{module.ko}; see Kbuild's obj-m and {work}/build.log.")
            _keep(work, entry, module)
            lab.set_complete(entry, key)
    return result


def _keep(work, entry, module):
    entry.mkdir(parents=True, exist_ok=True)
    for path in module.kept:
        name = Path(path).name
        shutil.copy(work / path, entry / (name + ".new"))
        os.replace(entry / (name + ".new"), entry / name)


def publish(ko: Path, release):
    """Copies vtd.ko to out/module/<release>, for the user."""
    folder = lab.checkout() / "out/module" / release
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ko, folder / "vtd.ko.new")
    os.replace(folder / "vtd.ko.new", folder / "vtd.ko")
    return folder / "vtd.ko"
