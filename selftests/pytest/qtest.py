# SPDX-License-Identifier: GPL-2.0
"""A machine of QEMU that is driven by the lines of its qtest protocol: no processor runs, so there
is no guest, and a whole test takes a fraction of a second."""

import json
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from vtdlab.build import preload
from vtdlab.guest import qemu

TIMEOUT = 20
# Seconds for which a machine may exist.
PATIENCE = 60
ECAM = 0xB0000000
PCIEXBAR = 0x60
FIRST_UNIT = 0xFED90000
# Registers of a unit (VT-d 11.4) and bits of GCMD.
CAP, ECAP, GCMD, GSTS, RTADDR, FSTS = 0x08, 0x10, 0x18, 0x1C, 0x20, 0x34
IQH, IQT, IQA, FRCD = 0x80, 0x88, 0x90, 0x220
TRANSLATION, ROOT, QUEUE = 1 << 31, 1 << 30, 1 << 26
FAULT = 1 << 63
READ_WRITE, SNOOP = 3, 1 << 11
# What every unit's tables are below: context table, page tables, queue.
CONTEXT, PAGES, RING = 0x1000, 0x2000, 0x8000
IOVA = 0x40000000


def argv(devices):
    """Returns QEMU's command line for these devices, without qtest."""
    return [qemu.BINARY, "-M", "q35", "-accel", "qtest", "-m", "256", "-display", "none",
            "-nodefaults", "-no-user-config",
            *(word for device in devices for word in ("-device", device))]


def ended(built, *devices):
    """Runs QEMU until it refuses these devices; returns its status and sentence."""
    done = subprocess.run(preload.command(built, argv(devices)), check=False,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=TIMEOUT)
    return done.returncode, done.stderr.strip()


class Machine:
    """A machine that runs until the end of a `with`."""

    def __init__(self, built, devices, *options):
        self.folder = tempfile.TemporaryDirectory(prefix="vtd-qtest-")
        self.log = Path(self.folder.name) / "log"
        self.errors = Path(self.folder.name) / "errors"
        self.control = Path(self.folder.name) / "qmp"
        more = ["-qtest", "stdio", "-qtest-log", "none", "-D", str(self.log),
                "-trace", "vtd_inv_desc*", "-qmp", f"unix:{self.control},server=on,wait=off"]
        with open(self.errors, "wb") as errors:
            self.child = subprocess.Popen(preload.command(built, [*argv(devices), *options, *more]),
                                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                          stderr=errors, text=True)
        # A QEMU that hangs is ended, so that each wait for an answer ends.
        self.patience = threading.Timer(PATIENCE, self.child.kill)
        self.patience.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.patience.cancel()
        self.child.kill()
        self.child.communicate(timeout=TIMEOUT)
        self.folder.cleanup()

    def ask(self, line):
        """Sends one command and returns its answer; events on the way are left out."""
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        for answer in self.child.stdout:
            word, _, rest = answer.strip().partition(" ")
            if word == "OK":
                return rest
            assert word != "FAIL", f"{line}: {answer}"
        raise AssertionError(f"QEMU ended at {line!r}: {self.errors.read_text().strip()}")

    def read(self, address, size=8):
        """Reads memory or a register."""
        return int(self.ask(f"read{'lq'[size // 8]} {address:#x}"), 16)

    def write(self, address, value, size=8):
        """Writes memory or a register."""
        self.ask(f"write{'lq'[size // 8]} {address:#x} {value & ~(-1 << 8 * size):#x}")

    def qmp(self, name, **arguments):
        """Runs one QMP command."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(TIMEOUT)
            link.connect(str(self.control))
            lines = link.makefile("rw", encoding="utf-8")
            for what, details in (("qmp_capabilities", {}), (name, arguments)):
                lines.write(json.dumps({"execute": what, "arguments": details}) + "\n")
                lines.flush()
            answers = []
            while len(answers) < 2:
                answer = json.loads(lines.readline())
                answers += [answer] if "return" in answer or "error" in answer else []
            assert "return" in answers[1], answers[1]

    def pass_time(self, microseconds):
        """Lets the guest's clock advance."""
        self.ask(f"clock_step {microseconds * 1000}")

    def set_property(self, device, **properties):
        """Changes properties of the device with this id."""
        for name, value in properties.items():
            self.qmp("qom-set", path=f"/machine/peripheral/{device}",
                     property=name.replace("_", "-"), value=value)

    def open_configuration(self):
        """Makes the configuration space of all buses readable in memory."""
        self.ask(f"outl 0xcf8 {1 << 31 | PCIEXBAR:#x}")
        self.ask(f"outl 0xcfc {ECAM | 1:#x}")

    def start_device(self, source, bar):
        """Sets the first base address register of a function and lets it be bus master."""
        at = ECAM + (source << 12)
        self.write(at + 0x10, bar, 4)
        self.write(at + 4, 6, 4)

    def start_bridge(self, source, bus, window):
        """Gives a bridge one bus, and one MiB of memory below it."""
        at = ECAM + (source << 12)
        self.write(at + 0x18, source >> 8 | bus << 8 | bus << 16, 4)
        self.write(at + 0x20, window >> 16 | window, 4)
        self.write(at + 4, 6, 4)


class Unit:
    """A unit that is programmed by hand, in legacy mode, with its tables at `tables`."""

    def __init__(self, machine, base, tables, levels=4):
        self.machine, self.base, self.tables, self.levels = machine, base, tables, levels
        self.tail = 0

    def register(self, offset, size=8):
        """Reads a register."""
        return self.machine.read(self.base + offset, size)

    def set(self, offset, value, size=8):
        """Writes a register."""
        self.machine.write(self.base + offset, value, size)

    def leaf(self, target, bits=READ_WRITE):
        """Lets IOVA lead to `target`, without an invalidation."""
        self.machine.write(self.tables + PAGES + (self.levels - 1) * 0x1000, target | bits)

    def map(self, sources, target, bits=READ_WRITE):
        """Lets IOVA lead to `target` for these requesters."""
        write, pages = self.machine.write, self.tables + PAGES
        for source in sources:
            context = self.tables + CONTEXT + (source & 0xFF) * 16
            write(self.tables + (source >> 8) * 16, self.tables + CONTEXT | 1)
            write(context + 8, self.levels - 2 | 1 << 8)
            write(context, pages | 1)
        for level in range(self.levels - 1):
            index = 1 if level == self.levels - 3 else 0
            write(pages + level * 0x1000 + index * 8, pages + (level + 1) * 0x1000 | READ_WRITE)
        self.leaf(target, bits)

    def start(self):
        """Turns the queue and translation on."""
        self.set(IQA, self.tables + RING)
        self.set(GCMD, QUEUE, 4)
        self.set(RTADDR, self.tables)
        self.set(GCMD, QUEUE | ROOT, 4)
        self.set(GCMD, QUEUE | TRANSLATION, 4)
        self.tail = 0

    def invalidate(self):
        """Submits a global invalidation of the IOTLB; returns whether the unit has read it."""
        self.machine.write(self.tables + RING + self.tail, 2 | 1 << 4)
        self.machine.write(self.tables + RING + self.tail + 8, 0)
        self.tail += 16
        self.set(IQT, self.tail)
        return self.register(IQH) == self.tail

    def fault(self):
        """Returns (requester, reason) of the recorded fault, or None, and clears it."""
        high = self.register(FRCD + 8)
        self.set(FRCD + 8, FAULT)
        self.set(FSTS, 1, 4)
        return (high & 0xFFFF, high >> 32 & 0xFF) if high & FAULT else None
