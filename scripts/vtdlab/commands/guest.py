# SPDX-License-Identifier: GPL-2.0
"""`make guest`: a shell in the test machine, or one command.

The machine is that of `make run`, with vtd, the kernel's own driver, or none. What it leaves is
kept in out/guest, in a folder for each guest.
"""

import contextlib
import dataclasses
import os
import shlex
import signal
import sys
import tempfile
import time
from pathlib import Path

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.build import kernel
from vtdlab.errors import LabError, is_none_of
from vtdlab.evidence import dump, klog
from vtdlab.evidence.trace import Trace
from vtdlab.guest import accel
from vtdlab.guest import saved_table, testbed
from vtdlab.guest.channel import Records
from vtdlab.guest.qemu import boot
from vtdlab.guest.terminal import Terminal

DRIVERS = {"vtd": testbed.OURS, "intree": testbed.IN_TREE, "none": testbed.OURS}
KERNELS = ("test", "debian", "debug")
# Seconds that a command may take, if not said.
TIMEOUT = 600
# The statuses of timeout(1), and of a shell whose command was interrupted.
TOO_LONG, INTERRUPTED = 124, 130
MODULE = "vtd.ko"


def add_arguments(parser):
    """Adds the options; the defaults are `make guest`."""
    parser.add_argument("--run", metavar="COMMAND", help="run this and exit with its status; "
                        "without it, and without a terminal, the command is standard input")
    parser.add_argument("--driver", default="vtd", help="vtd, intree or none")
    parser.add_argument("--machine", default="standard", help="standard, server, client, or a file "
                        "or folder with a DMAR table: a dump, or a copy of /sys/firmware/acpi/tables")
    parser.add_argument("--device", action="append", default=[], metavar="DEVICE",
                        help="a further QEMU device, such as 'edu,addr=10.0'; or several options of "
                        "QEMU, if it starts with -")
    parser.add_argument("--iommu", default="", metavar="OPTIONS",
                        help="further options of QEMU's intel-iommu, such as caching-mode=on")
    parser.add_argument("--append", default="", metavar="WORDS",
                        help="further words of the kernel command line; guest.vtd=lazy=1 is a "
                        "parameter of vtd")
    parser.add_argument("--gdb", action="store_true", help="let gdb attach")
    parser.add_argument("--kernel", default="test", help=", ".join(KERNELS))
    parser.add_argument("--series", choices=kernel.SERIES, help="kernel series")
    parser.add_argument("--accel", default="auto", help="auto, kvm or tcg")
    parser.add_argument("--out", type=Path, default=lab.checkout() / "out/guest", metavar="DIR",
                        help="keep the results in DIR instead of out/guest")
    parser.add_argument("--timeout", type=int, metavar="SECONDS",
                        help=f"end a command after this time; {TIMEOUT} without it")


def main(args):
    """Boots the guest; returns the status of its shell or command."""
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(128 + signal.SIGHUP))
    _check(args)
    command = args.run
    if command is None and not (os.isatty(0) and os.isatty(1)):
        command = sys.stdin.read().strip()
        if not command:
            raise LabError('There is no terminal for a shell, and no command; give one, such as '
                           'make guest RUN="vtd doctor", or a script on standard input.')
    # Standard output has the guest's output only, so that it can be redirected.
    with contextlib.redirect_stdout(sys.stderr):
        return _Session(args, command).run()


def _check(args):
    further(args.device)
    for what, name, known in (("driver", args.driver, DRIVERS), ("kernel", args.kernel, KERNELS)):
        if name not in known:
            raise LabError(is_none_of(what, name, known) + ".")
    if args.iommu.split(",")[0] in DRIVERS:
        raise LabError(f"IOMMU={args.iommu}: it takes options of QEMU's intel-iommu, such as "
                       f"caching-mode=on; DRIVER={args.iommu} chooses the driver.")
    if args.timeout is not None and args.timeout < 1:
        raise LabError(f"A timeout of {args.timeout} s is none; give a number of seconds from 1 on.")


def further(devices):
    """Returns QEMU's arguments for what --device names."""
    found = []
    for device in devices:
        try:
            words = shlex.split(device)
        except ValueError as err:
            raise LabError(f"DEVICE={device} cannot be divided into words: {err}.") from err
        found += words if device.startswith("-") else [
            part for word in words for part in ("-device", word)]
    return found


def new_folder(parent, now=None):
    """Makes a folder named by date and time, and the link `last` to it."""
    name = time.strftime("%Y-%m-%d-%H%M%S", now or time.localtime())
    parent.mkdir(parents=True, exist_ok=True)
    for number in range(1, 100):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            break
    else:
        raise LabError(f"{parent} has a hundred folders of this second; remove some.")
    link = folder / "last"
    link.symlink_to(folder.name)
    os.replace(link, parent / "last")
    return folder


class _Session:
    """One guest."""

    def __init__(self, args, command):
        self.args, self.command = args, command
        self.accel = accel.Choice(args.accel)
        self.layout = saved_table.get(args.machine)
        self.records = Records()
        self.step = self.out = self.bed = self.terminal = None

    def run(self):
        """Boots it; returns the status."""
        flavour = self.args.kernel
        self.bed = testbed.get(self.args.series, with_vtd=self.args.driver != "intree",
                               flavour=flavour)
        self.out = new_folder(self.args.out)
        for note in self.layout.notes:
            print(f"  machine   {note}")
        self.terminal = Terminal(self.command, self.out / "terminal.log")
        with tempfile.TemporaryDirectory(prefix="vtd-disks-") as disks:
            try:
                outcome = self._boot(disks)
            finally:
                self.terminal.end()
                self._end_step("ended")
        return self._finish(outcome)

    def _boot(self, disks):
        timeout = (self.args.timeout or TIMEOUT) if self.command else float("inf")
        machine = self._machine(disks)
        self.step = progress.Step("guest", f"Linux {self.bed.kernel.release}, {self.args.driver}"
                                           + (", on KVM" if self.accel.name == "kvm" else ""))
        if self.accel.name == "kvm":
            outcome = boot(machine, self.out, timeout, self._line, again=False, tick=self._tick,
                           services={"session": self.terminal.session})
            if outcome.ending != "silent":
                return outcome
            self.accel.failed()
            self._end_step(f"KVM runs no guest here (no line within {accel.PATIENCE} s), so that "
                           "guests are emulated until this machine is booted again")
            return self._boot(disks)
        return boot(machine, self.out, timeout, self._line, tick=self._tick,
                    services={"session": self.terminal.session})

    def _machine(self, disks):
        args, layout = self.args, self.layout
        image = layout.image(self.bed.image, None, f"{disks}/initramfs")
        more = ("-gdb", f"unix:{self._socket()},server=on,wait=off") if args.gdb else ()
        machine = self.bed.machine(
            "shell", [*layout.devices(disks), *further(args.device)], driver=args.driver,
            boot=DRIVERS[args.driver], image=image, iommu=layout.options(args.iommu),
            append=[*args.append.split(), *layout.append(), *testbed.ISOLATED,
                    *["nokaslr"] * args.gdb])
        return dataclasses.replace(
            machine, terminal=self.terminal, more=more, accel=self.accel.name,
            patience=self.accel.patience or machine.patience)

    def _shown(self, path):
        """Returns a path as short as possible: QEMU and gdb run in the checkout, and the path of a
        socket has at most 107 characters."""
        return os.path.relpath(path, lab.checkout()) if path.is_relative_to(lab.checkout()) else path

    def _socket(self):
        return self._shown(self.out / "gdb.socket")

    def _line(self, line):
        record = self.records.add(line)
        if not record:
            return
        if record.kind == "sections" and self.args.gdb:
            self._write_gdb(record)
        elif record.kind == "shell":
            self._end_step("ready")
            self.terminal.begin()

    def _tick(self):
        if self.step:
            self.step.update()

    def _end_step(self, note):
        if self.step:
            self.step.end(note)
            self.step = None

    def _write_gdb(self, record):
        """Writes what gdb reads to attach, with the addresses at which the module is."""
        sections = dict(record.values)
        text = sections.pop(".text", "0")
        ko = (f"add-symbol-file {self.bed.vtd} {text} "
              + " ".join(f"-s {name} {at}" for name, at in sections.items()))
        path = self.out / "gdb"
        path.write_text(f"file {self.bed.kernel.kdir / 'vmlinux'}\nset confirm off\n{ko}\n"
                        f"target remote {self._socket()}\n", encoding="utf-8")
        print(f"  gdb       gdb -x {self._shown(path)} attaches from another terminal, "
              "in this folder")

    def _finish(self, outcome):
        """Says what happened and where it is kept; returns the status."""
        self.terminal.end()
        bye = self.records.of("bye")
        status = bye[-1].number("status") if bye else None
        with open(self.out / "report.txt", "w", encoding="utf-8") as report:
            for kind, text in self._report(outcome, status):
                report.write(f"{kind}: {text}\n")
                if kind not in ("kernel", "command"):
                    print(f"  {kind:<9} {text}")
        if self.terminal.left:
            return INTERRUPTED
        if outcome.ending == "timeout":
            return TOO_LONG
        # A shell may have powered the machine off.
        return status if status is not None else int(outcome.ending != "poweroff"
                                                     or self.command is not None)

    def _report(self, outcome, status):
        yield "kernel", f"{self.bed.kernel.release}, driver {self.args.driver}, {self.layout.text}"
        if self.command:
            yield "command", self.command
        console = klog.read(outcome.console)
        for record in self.records.of("problem"):
            yield "problem", record["text"]
        if found := klog.complaints(console):
            yield "problem", f"the kernel complained, first with: {found[0]}"
        if self.terminal.left:
            yield "ended", "the machine was ended by Ctrl-]"
        elif outcome.ending == "timeout":
            yield "ended", (f"the command took longer than {self.args.timeout or TIMEOUT} s; "
                            "--timeout gives it more")
        elif status is None and outcome.ending != "poweroff":
            yield "ended", ("the guest's kernel reset the machine: see console.log"
                            if outcome.ending == "reset" else outcome.detail)
        elif status:
            yield "status", str(status)
        yield "refused", self._refused(outcome, console)
        saved = dump.receive(self.records, self.out)
        names = sorted(path.name for path in self.out.iterdir()
                       if path.name not in ("gdb.socket", "report.txt"))
        yield "kept", (f"{self._shown(self.out)}: {', '.join(names)}"
                       + ("" if saved else "; no dump was made"))

    def _refused(self, outcome, console):
        seen, said = len(Trace.read(outcome.trace).faults()), len(klog.faults(console))
        if not seen:
            return "no request of a device"
        who = {"vtd": "vtd", "intree": "the kernel's own driver"}.get(self.args.driver, "the log")
        return (f"{seen} request{'s' * (seen != 1)} of devices, of which {who} reported {said}; "
                f"console.log has them")
