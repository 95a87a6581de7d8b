# SPDX-License-Identifier: GPL-2.0
"""The guest's only root: busybox, a few tools, the modules, scripts and tests.

Nothing is mounted and no disk is needed, so that a guest boots in seconds. It is built
from the build root's own programs, and cached by the contents of its files.
"""

import dataclasses
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from vtdlab import cache as lab
from vtdlab.build.cpio import Archive
from vtdlab.errors import LabError

# Programs in addition to busybox, and what each one reads.
TOOLS = {"/usr/sbin/mkfs.ext4": ("/etc/mke2fs.conf",), "/usr/bin/kmod": ()}
OPTIONAL = {"/usr/sbin/kexec": ()}
KMOD_NAMES = ("insmod", "rmmod", "modprobe", "modinfo", "lsmod", "depmod")
LDD_TIMEOUT = 30
SIGNED = b"~Module signature appended~\n"


@dataclasses.dataclass(frozen=True)
class Contents:
    """The contents of a guest; names in the guest are fixed."""

    modules: Path            # lib/modules/<release>, installed
    release: str
    vtd: Path = None         # /vtd/vtd.ko; None leaves it out
    test_modules: tuple = () # /vtd/modules/*.ko
    programs: tuple = ()     # (name, path), to /selftests
    wanted: tuple = ()       # names of modules; empty: all that the kernel has

    def files(self):
        """Returns (name in the guest, path here) of all files, in a fixed order."""
        top = lab.checkout()
        found = []
        kept = closure((self.modules / "modules.dep").read_text(encoding="ascii"),
                       self.wanted) if self.wanted else None
        for name, folder in (("guest", top / "scripts/guest"), ("selftests", top / "selftests"),
                             (f"lib/modules/{self.release}", self.modules)):
            found += [(f"{name}/{path.relative_to(folder)}", path)
                      for path in sorted(folder.rglob("*"))
                      if path.is_file() and not _left_out(path.relative_to(folder))
                      and (kept is None or folder != self.modules or path.suffix != ".ko"
                           or str(path.relative_to(folder)) in kept)]
        found.append(("guest/modprobe.conf", top / "debian/modprobe.conf"))
        if self.vtd:
            found.append(("vtd/vtd.ko", Path(self.vtd)))
        found += [(f"vtd/modules/{Path(path).name}", Path(path)) for path in self.test_modules]
        found += [(f"selftests/{name}", Path(path)) for name, path in self.programs]
        return found


def closure(text, wanted):
    """Returns the files of these modules and of all they need, by the text of modules.dep.

    LabError names a module that the kernel does not have.
    """
    needs = {name: rest.split() for name, _, rest in
             (line.partition(":") for line in text.splitlines())}
    files = {Path(name).stem.replace("-", "_"): name for name in needs}
    missing = [name for name in wanted if name not in files]
    if missing:
        raise LabError(f"The kernel has no module {', '.join(missing)}, which the guest needs; "
                       "if it is built in by now, take it off the list in scripts/vtdlab/build/stock.py.")
    found = {files[name] for name in wanted}
    return found.union(*(needs[name] for name in found))


def _left_out(path):
    return (path.parts[0] in ("pytest", "evidence", "user", "build", "source")
            or "__pycache__" in path.parts
            or (path.parts[0] == "modules" and path.suffix in (".c", ".h", ".o", ".cmd", ".mod")))


def _libraries(program):
    """Returns the shared libraries of a program, as the dynamic linker finds them."""
    text = subprocess.run(["ldd", program], check=False, capture_output=True, text=True,
                          timeout=LDD_TIMEOUT).stdout
    return [word for line in text.splitlines() for word in line.split()
            if word.startswith("/")]


def _programs():
    """Returns (name in the guest, path here) of tools and what they need."""
    found = {}
    for program, reads in (TOOLS | OPTIONAL).items():
        if not os.path.exists(program):
            if program in OPTIONAL:
                continue
            raise LabError(f"The build root has no {program}, which the guest needs; "
                           "it is out of date, so remove it with make distclean.")
        for path in (program, *reads, *_libraries(program)):
            found[path.lstrip("/").removeprefix("usr/") if path == program
                  else path.lstrip("/")] = Path(path)
    return sorted(found.items())


def _busybox():
    path = shutil.which("busybox")
    if not path:
        raise LabError("The build root has no busybox; remove it with make distclean.")
    return Path(path)


def _stripped(path, scratch):
    """Returns a module without its debug information, which is most of its bytes.

    One that is signed stays as it is: its signature is over all of it.
    """
    if path.suffix != ".ko" or path.read_bytes().endswith(SIGNED):
        return path.read_bytes()
    out = Path(scratch) / "module.ko"
    done = subprocess.run(["strip", "--strip-debug", "-o", out, path], check=False,
                          capture_output=True, timeout=60)
    return out.read_bytes() if done.returncode == 0 else path.read_bytes()


def _write(target, contents):
    with open(target, "wb") as file, tempfile.TemporaryDirectory() as scratch:
        archive = Archive(file)
        for name in ("proc", "sys", "dev", "tmp", "mnt", "run", "bin", "sbin"):
            archive.folder(name)
        archive.node("dev/console", 5, 1)
        archive.data("bin/busybox", _busybox().read_bytes(), executable=True)
        for name, path in _programs():
            archive.data(name, path.read_bytes(), executable=True)
        for name in KMOD_NAMES:
            archive.link(f"sbin/{name}", "/bin/kmod")
        for name, path in contents.files():
            archive.data(name, _stripped(path, scratch),
                         executable=os.access(path, os.X_OK))
        archive.link("init", "/guest/init")
        archive.close()


def _key(contents):
    parts = [Path(__file__).read_bytes(), _busybox().read_bytes()]
    for name, path in [*_programs(), *contents.files()]:
        parts += [name, str(os.access(path, os.X_OK)), path.read_bytes()]
    return lab.key(*parts)


def get(contents, cache=None):
    """Returns the archive for these contents, built if it is not in the cache."""
    cache = cache or lab.Cache()
    key = _key(contents)
    folder = cache.entry("initramfs", f"{contents.release}-{key}")
    with cache.lock(f"initramfs-{folder.name}"):
        image = folder / "initramfs.cpio"
        if not lab.is_complete(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _write(image, contents)
            lab.set_complete(folder, key)
        cache.used(folder)
    return image
