# SPDX-License-Identifier: GPL-2.0
"""`make debian-check`: boots a Debian guest in which vtd was installed.

scripts/debian-image has made the system, in one of two ways: by `make install`, or with the packages
of `make deb` and a second kernel after them. Its own kernels and the initramfs that initramfs-tools
made there are booted, with the root file system on an NVMe disk. The last boot but one removes vtd;
the last one checks that the machine is as it was before.
"""

import hashlib
import re
import shutil
import subprocess

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.errors import LabError
from vtdlab.evidence import klog, ktap
from vtdlab.evidence.trace import Trace
from vtdlab.guest import devices, secureboot
from vtdlab.guest.qemu import Machine, boot
from vtdlab.report import Report

DISK_SIZE = "8G"
DISK_TIMEOUT = 600
# A removal makes the initramfs of each kernel again, which takes minutes if the processor is
# emulated.
TIMEOUT = 2400
ROOT = devices.NVME
# The release of the second kernel has it; what DKMS prints for each build that succeeds.
UPDATE = "-cloud-"
BUILT = re.compile(r"^Building module\(s\)\.+ ?done", re.M)


def add_arguments(parser):
    """Adds the way in which vtd was installed."""
    parser.add_argument("way", choices=WAYS)


def image(way):
    """Returns the system that scripts/debian-image has made of this checkout."""
    name = hashlib.sha256(str(lab.checkout()).encode()).hexdigest()[:12]
    folder = lab.Cache().entry("debian", f"{way}-{name}")
    if not (folder / "boot").is_dir():
        raise LabError(f"There is no Debian with vtd in {folder}; make debian-check makes it.")
    return folder


def releases_of(root, count):
    """Returns the kernels of the system, that of an update last."""
    found = sorted((path.name.removeprefix("vmlinuz-") for path in (root / "boot").glob("vmlinuz-*")),
                   key=lambda release: (UPDATE in release, release))
    if len(found) != count:
        raise LabError(f"{root}/boot holds {len(found)} kernels where {count} were expected: "
                       f"{', '.join(found) or 'none'}.")
    return found


def make_disk(root, path):
    """Makes an ext4 file system with that system, without mounting anything."""
    progress.run("disk", "a file system of it",
                 ["mke2fs", "-q", "-F", "-t", "ext4", "-L", "vtd", "-d", str(root), str(path),
                  DISK_SIZE], path.with_suffix(".log"), timeout=DISK_TIMEOUT)


def take(disk, name, target):
    """Reads a file from the file system, like a boot loader."""
    target.unlink(missing_ok=True)
    done = subprocess.run(["debugfs", "-R", f"dump {name} {target}", str(disk)], check=False,
                          capture_output=True, text=True, timeout=DISK_TIMEOUT)
    if not target.is_file():
        raise LabError(f"The guest's disk holds no {name} that can be read: {done.stderr.strip()}")
    return target


def machine(disk, folder, release, job, loader=None):
    """Returns kernel, initramfs and command line from that disk, like a boot loader."""
    kernel = take(disk, f"/boot/vmlinuz-{release}", folder / "vmlinuz")
    initramfs = take(disk, f"/boot/initrd.img-{release}", folder / "initrd.img")
    words = take(disk, "/boot/cmdline", folder / "cmdline").read_text(encoding="ascii").split()
    other = devices.disk(folder / "virtio.img")
    return Machine(kernel, initramfs,
                   ["root=LABEL=vtd", "init=/guest/debian/init", "loglevel=7",
                    f"guest.job={job}", *words],
                   ["-device", f"pcie-root-port,id=port0,chassis=1,bus=pcie.0,addr={devices.PORT.bdf[8:]}",
                    "-blockdev", f"driver=raw,node-name=nvme0,file.driver=file,file.filename={disk}",
                    "-device", devices.NVME_DEVICE,
                    "-blockdev", f"driver=raw,node-name=virtio0,file.driver=file,file.filename={other}",
                    "-device", "virtio-blk-pci,drive=virtio0,iommu_platform=on,disable-legacy=on,"
                               f"bus=pcie.0,addr={devices.VIRTIO.bdf[8:]}"], loader=loader)


def start(report, disk, folder, release, job, loader=lambda folder: None):
    """Boots the guest once; yields its results, those of its trace and of its end."""
    folder.mkdir(parents=True)
    reader = ktap.Reader()

    def line(text):
        found = reader.feed(text[2:]) if text.startswith(">") else None
        if found and not found.top:
            report.check(found.outcome == "passed", found.name, "; ".join(found.notes))

    step = progress.Step("guest", f"start of {job}")
    outcome = boot(machine(disk, folder, release, job, loader(folder)), folder, TIMEOUT, line,
                   tick=step.update)
    step.end()
    for sentence in reader.missing():
        report.check(False, f"the guest kept its plan ({job})", sentence)
    report.check(outcome.ending == "poweroff", f"the guest came to its end ({job})", outcome.detail)
    found = klog.complaints(klog.read(outcome.console))
    report.check(not found, f"no complaint of its kernel ({job})", found[0] if found else "")
    return Trace.read(outcome.trace)


def installed(report, trace):
    """Yields the results of QEMU's trace while vtd was installed."""
    walks = [e for e in trace.named("vtd_iotlb_page_update") if e.value("sid") == ROOT.sid]
    report.check(bool(walks), "QEMU's trace: the unit translated for the root file system's disk",
                 "it has no walk for it")
    report.check(trace.translation()[:1] == [True] and trace.translation()[-1:] == [False],
                 "QEMU's trace: translation on at the load, off at the end",
                 f"it has {trace.translation()}")
    report.check(not trace.faults(), "QEMU's trace: no fault",
                 str(trace.faults()[0]) if trace.faults() else "")


def dkms(report, root, releases):
    """Yields the results of the steps of scripts/debian/try-packages."""
    first, second = releases
    logs = root / "guest/packages"
    log = {path.name: path.read_text(encoding="utf-8", errors="replace") for path in logs.iterdir()}

    def step(name, good, text):
        status = log[f"{name}.status"].strip()
        report.check(good and status == "0", text, f"status {status}; the end of its output: "
                     + " / ".join(log[name].splitlines()[-8:]))

    def built(name):
        return BUILT.findall(log[name])

    step("install", len(built("install")) == 1,
         f"apt installs the packages, and DKMS builds once, for {first}")
    step("update", len(built("update")) == 1,
         f"a kernel update: DKMS builds once, for {second}")
    for release, name in ((first, "fresh"), (first, "status"), (second, "status")):
        step(name, re.search(rf"^vtd/\S+, {re.escape(release)}, x86_64: installed", log[name], re.M),
             f"dkms status has vtd for {release}, {'before' if name == 'fresh' else 'after'} the update")
    step("unfit", "should not be built" in log["unfit"] and not built("unfit"),
         "a kernel without Rust is left out with a sentence, and its installation continues")


def boots_installed(report, root, disk, out):
    """Boots what `make install` has made, and what is left after `make uninstall`."""
    release, = releases_of(root, 1)
    report.heading(f"vtd installed in Debian, Linux {release}")
    installed(report, start(report, disk, out / "installed", release, "installed"))
    report.heading("The same machine after make uninstall")
    start(report, disk, out / "removed", release, "removed")


def boots_packaged(report, root, disk, out):
    """Boots both kernels with the packages, and the first one after they were purged."""
    first, second = releases_of(root, 2)
    report.heading("The packages installed, and a kernel update")
    dkms(report, root, (first, second))
    report.heading(f"The packages in Debian, Linux {first}")
    installed(report, start(report, disk, out / "packaged", first, "packaged"))
    report.heading("The same with Secure Boot, and DKMS's key enrolled")
    key = root / "var/lib/dkms/mok.pub"
    installed(report, start(report, disk, out / "secure", first, "secure",
                            lambda folder: secureboot.loader(folder, key)))
    report.heading("The same with Secure Boot, without that key")
    start(report, disk, out / "no-key", first, "no-key",
          lambda folder: secureboot.loader(folder, None))
    report.heading(f"The packages in Debian, Linux {second}, and their removal")
    installed(report, start(report, disk, out / "updated", second, "updated"))
    report.heading("The same machine after apt-get purge")
    start(report, disk, out / "removed", first, "removed")


WAYS = {"install": boots_installed, "packages": boots_packaged}


def main(args):
    """Boots a system as often as its way needs; returns the exit status."""
    out = lab.checkout() / "out/debian-check" / args.way
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    root = image(args.way)
    disk = out / "disk.img"
    make_disk(root, disk)
    report = Report(out / "report.txt")
    try:
        WAYS[args.way](report, root, disk, out)
        status = report.verdict("debian-check")
    finally:
        report.close()
        disk.unlink(missing_ok=True)
    if not status:
        shutil.rmtree(root)     # what failed can be looked at
    return status
