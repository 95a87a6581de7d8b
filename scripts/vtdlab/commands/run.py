# SPDX-License-Identifier: GPL-2.0
"""`make run`: shows the driver in use in a guest, and judges it.

The guest only reports what happened (scripts/guest/demo). That is compared with two
other witnesses, the kernel's log and QEMU's trace; a claim passes if they agree.
"""

import shutil
import tempfile
import time

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.build import kernel, stock
from vtdlab.evidence import demo, dump, klog
from vtdlab.evidence.run import Evidence
from vtdlab.evidence.trace import Trace
from vtdlab.guest import machines, testbed
from vtdlab.guest.channel import Records
from vtdlab.guest.fileserver import FileServer
from vtdlab.guest.qemu import boot
from vtdlab.report import Report

TIMEOUT = 240
# The first unit of each machine has scalable mode: the demo shows it, and then legacy mode.
IOMMU = "scalable-mode=on"
STEPS = {"load": "boot, load the driver, then the devices' drivers",
         "io": "filesystems on NVMe and virtio-blk, a file over TCP",
         "attacks": "attacks by edu and iommu-testdev",
         "freed": "pages that are freed right after their unmap",
         "modes": "some attacks again, in legacy mode",
         "interrupts": "an interrupt that edu forges",
         "close": "statistics"}


def add_arguments(parser):
    """Adds the options; the defaults are `make run`."""
    parser.add_argument("--series", choices=kernel.SERIES, help="kernel series")
    parser.add_argument("--kernel", choices=("test", "debian"), default="test",
                        help="debian boots a stock kernel, unmodified, with its own modules")
    parser.add_argument("--machine", default="standard", help="standard, server or client: the "
                        "remapping units of the machine")
    parser.add_argument("--driver", choices=("vtd", "intree"), default="vtd",
                        help="intree shows the kernel's own driver on the same machine")
    parser.add_argument("--iommu", default=IOMMU, metavar="OPTIONS",
                        help=f"options of QEMU's intel-iommu; default {IOMMU}")


class Steps:
    """Shows the guest's steps while they run."""

    def __init__(self):
        self.step = None
        self.begin("boot")

    def record(self, record):
        """Takes one record of the channel."""
        if record and record.kind == "step":
            self.begin(STEPS.get(record["name"], record["name"]))
        elif record and record.kind == "bye":
            self.end()
        else:
            self.tick()

    def begin(self, text):
        """Starts a step, which ends the previous one."""
        self.end()
        self.step = progress.Step("guest", text)

    def tick(self):
        """Updates the shown time; called twice a second."""
        if self.step:
            self.step.update()

    def end(self):
        """Ends the last step."""
        if self.step:
            self.step.end()
            self.step = None


def demonstrate(bed, out, report, on_line, *, tick=None, driver="vtd", iommu=IOMMU,
                layout=machines.STANDARD):
    """Boots the demo, then writes its results to `report`; returns the guest's outcome."""
    records = Records()

    def line(text):
        on_line(records.add(text))

    with FileServer() as server, tempfile.TemporaryDirectory(prefix="vtd-disks-") as disks:
        image = layout.image(bed.image, None, f"{disks}/initramfs")
        machine = bed.machine("demo", layout.devices(disks), driver=driver, image=image,
                              append=[f"guest.port={server.port}", *layout.append(),
                                      *testbed.ISOLATED],
                              iommu=layout.options(iommu))
        outcome = boot(machine, out, TIMEOUT * bed.slowness, line, tick=tick)
    evidence = Evidence(records, klog.read(outcome.console),
                        Trace.read(outcome.trace), outcome, server, driver, layout)
    name = "vtd" if driver == "vtd" else "the in-tree driver"
    report.heading(f"{name} on Linux {bed.kernel.release}, QEMU q35 with {layout.text}")
    if bed.flavour == "debian":
        report.line(f"  Debian's own kernel {bed.kernel.version} and its own modules, unmodified.")
        report.line(f"  {stock.not_shown(bed.kernel)}")
    for part in demo.PARTS:
        part(report, evidence)
    saved = dump.receive(records, out)
    if saved:
        report.line()
        report.line(f"  Who may reach what: machine.svg, drawn from {saved.name}, which "
                    "vtd --dump reads")
    return outcome


def main(args):
    """Prepares and runs the demo; returns the exit status of `make run`."""
    started = time.monotonic()
    layout = machines.get(args.machine)
    out = lab.checkout() / "out/run"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    bed = testbed.get(args.series, with_vtd=args.driver == "vtd", flavour=args.kernel)
    steps = Steps()
    report = Report(out / "report.txt")
    outcome = demonstrate(bed, out, report, steps.record, tick=steps.tick,
                          driver=args.driver, iommu=args.iommu, layout=layout)
    report.line()
    report.line(f"  {progress.clock(time.monotonic() - started)} in all, "
                f"{outcome.seconds:.0f} s of them in the guest; "
                f"console, trace and this report are in {out.relative_to(lab.checkout())}")
    status = report.verdict("run")
    report.close()
    return status
