# SPDX-License-Identifier: GPL-2.0
"""fio, iperf3 and the kernel's dma_map_benchmark for a guest to run, and a converter of
pictures for the host.

All but the kernel's are Debian's. They are fetched with their dependencies into the cache
and not into the build root, which stays as small as building and testing need it.
"""

import os
import re
import shutil
import subprocess

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.build.archive import Archive
from vtdlab.errors import LabError

PACKAGES = ("fio", "iperf3")
CONVERTER = ("librsvg2-bin",)
PROGRAMS = ("usr/bin/fio", "usr/bin/iperf3")
FOLDER = "tools"            # below /selftests in the guest
TIMEOUT = 900
INSTALL = re.compile(r"^Inst (\S+) \((\S+)", re.MULTILINE)


def programs(kernel, cache=None):
    """Returns (name, path) pairs as initramfs.Contents takes them."""
    cache = cache or lab.Cache()
    return (*_debian(cache), ("dma_map_benchmark", _dma_map_benchmark(kernel, cache)))


def fio(_kernel=None, cache=None):
    """Returns the same for fio alone, for tests that need a disk in use."""
    return _debian(cache or lab.Cache(), ("usr/bin/fio",))


def iperf_server(cache=None):
    """Returns (argv, environment) of an iperf3 that serves one client after the other."""
    tree = _unpacked(cache or lab.Cache())
    return ([str(tree / "usr/bin/iperf3"), "-s", "-B", "127.0.0.1"],
            {**os.environ, "LD_LIBRARY_PATH": _libraries(tree)})


def _libraries(tree):
    """Returns the library folders of the unpacked packages, including private ones."""
    return ":".join(sorted({str(path.parent) for path in tree.glob("usr/lib/**/*.so.*")}))


def converter(cache=None):
    """Returns (program, environment) of rsvg-convert; the fonts are the build root's."""
    tree = _unpacked(cache or lab.Cache(), CONVERTER)
    return (str(tree / "usr/bin/rsvg-convert"),
            {**os.environ, "LD_LIBRARY_PATH": _libraries(tree)})


def _debian(cache, wanted=PROGRAMS):
    tree = _unpacked(cache)
    found = {}
    for program in wanted:
        path = tree / program
        found[f"{FOLDER}/{path.name}"] = path
        text = subprocess.run(["ldd", path], check=True, capture_output=True, text=True,
                              timeout=TIMEOUT,
                              env={**os.environ, "LD_LIBRARY_PATH": _libraries(tree)}).stdout
        if "not found" in text:
            raise LabError(f"{path} lacks libraries: {text}")
        for word in text.split():
            if word.startswith("/"):
                found[f"{FOLDER}/{os.path.basename(word)}"] = word
    return tuple(sorted(found.items()))


def _unpacked(cache, packages=PACKAGES):
    archive = Archive(cache)
    archive.refresh()
    text = subprocess.run(archive._apt("apt-get", "-s", "-o", "Debug::NoLocking=1", "install",
                                       "--no-install-recommends", *packages),
                          check=True, capture_output=True, text=True, timeout=TIMEOUT).stdout
    wanted = sorted(f"{name}={version}" for name, version in INSTALL.findall(text))
    folder = cache.entry("benchtools", lab.key(*wanted))
    with cache.lock(f"benchtools-{folder.name}"):
        if not lab.is_complete(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            progress.run("fetch", f"{', '.join(packages)} and what they need",
                         archive._apt("apt-get", "download", *wanted), folder / "fetch.log",
                         cwd=folder, timeout=TIMEOUT)
            progress.run("unpack", ", ".join(packages),
                         ["sh", "-ec", 'for f in *.deb; do dpkg-deb -x "$f" . && rm "$f"; done'],
                         folder / "unpack.log", cwd=folder, timeout=TIMEOUT)
            lab.set_complete(folder)
        cache.used(folder)
    return folder


def _dma_map_benchmark(kernel, cache):
    source = kernel.source / "tools/dma/dma_map_benchmark.c"
    folder = cache.entry("benchprogram", lab.key(kernel.key, source.read_bytes()))
    program = folder / "dma_map_benchmark"
    with cache.lock(f"benchprogram-{folder.name}"):
        if not lab.is_complete(folder):
            folder.mkdir(parents=True, exist_ok=True)
            progress.run("build", "dma_map_benchmark",
                         ["gcc", "-static", "-O2", "-o", str(program), str(source),
                          "-idirafter", str(kernel.source / "include/uapi")],
                         folder / "build.log", timeout=TIMEOUT)
            lab.set_complete(folder)
    return program
