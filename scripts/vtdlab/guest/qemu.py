# SPDX-License-Identifier: GPL-2.0
"""One QEMU guest, from its command line to its end.

The guest has two serial ports: ttyS0 is the kernel's console, which is written to a file;
ttyS1 is the channel, a line protocol between the guest's scripts and the host. A guest may
request a service with a line `host VERB WORDS`, and reads one line of answer. QMP reports
how the guest ended. Every guest has a watch-dog. A guest that a person uses has a third
port, ttyS2, with a terminal at its other end (vtdlab/guest/terminal.py).

Once in some hundred boots an emulated kernel hangs before its first process runs, and so
before any driver is loaded. Such a guest is booted once more.
"""

import asyncio
import contextlib
import dataclasses
import math
import os
import tempfile
import time
from pathlib import Path

from qemu.qmp import QMPClient, QMPError

from vtdlab.build import preload
from vtdlab.errors import LabError

BINARY = "qemu-system-x86_64"
CONNECT_TIMEOUT = 60
QUIT_TIMEOUT = 10
DRAIN_TIMEOUT = 10
TICK = 0.5
# KVM models the interrupt controllers that remapping needs only in part; QEMU does the rest.
ACCEL = {"tcg": "tcg", "kvm": "kvm,kernel-irqchip=split"}

# The events that the trace has. Those of every single transfer, which say nothing about the
# driver, are left out.
TRACE = ("vtd_*", "-vtd_iotlb_page_hit", "-vtd_iotlb_cc_hit", "-vtd_dmar_translate",
         "-vtd_reg_read", "-vtd_inv_desc_*", "-vtd_inv_qi_[fht]*", "-vtd_ir_*",
         "-vtd_switch_address_space", "pci_cfg_write")


@dataclasses.dataclass
class Machine:
    """What is booted."""

    kernel: Path
    initramfs: Path
    append: list            # words of the kernel command line
    devices: list           # QEMU arguments; -device intel-iommu is put before them
    iommu: str = ""         # further options of intel-iommu, such as "caching-mode=on"
    memory: str = "2G"
    cpus: int = 2
    trace: tuple = TRACE    # none if time is measured
    patience: int = None    # seconds until the first line of its first process
    accel: str = "tcg"      # how its processors run: tcg, or kvm
    terminal: object = None # serves its third port: terminal.serve(guest, reader, writer)
    more: tuple = ()        # further QEMU arguments
    loader: object = None   # of a firmware: loader(machine, words) returns its QEMU arguments


@dataclasses.dataclass
class Outcome:
    """How a guest ended, and the paths of its traces."""

    ending: str             # poweroff, reset, timeout, silent or died
    seconds: float
    console: Path
    trace: Path
    detail: str = ""


def arguments(machine, out, sockets):
    """Returns the whole command line.

    intel-iommu comes first: a device requests its address space when it is created, and a
    device that is older than the unit bypasses it for good. QEMU knows further units, and the
    requester, if an object is loaded into it.
    """
    unit = "intel-iommu" + (f",{machine.iommu}" if machine.iommu else "")
    # Without the last one a busy host makes the kernel give up on its timer: emulation may
    # deliver no tick within the time in which the kernel expects ten.
    words = ["console=ttyS0", "panic=-1", "oops=panic", "no_timer_check", *machine.append]
    if machine.terminal:
        # The first and the third port have one interrupt.
        words.append("8250.share_irqs=1")
    argv = [BINARY, "-nodefaults", "-no-user-config", "-display", "none",
            "-machine", f"q35,accel={ACCEL[machine.accel]}", "-cpu", "max,la57=off",
            "-smp", str(machine.cpus), "-m", machine.memory, "-no-reboot",
            "-device", unit, *machine.devices,
            "-serial", f"file:{out / 'console.log'}",
            "-chardev", f"socket,id=channel,path={sockets}/channel",
            "-serial", "chardev:channel",
            "-qmp", f"unix:{sockets}/qmp",
            "-D", str(out / "qemu-trace.log")]
    if machine.loader:
        argv += machine.loader(machine, words)
    else:
        argv += ["-kernel", str(machine.kernel), "-initrd", str(machine.initramfs),
                 "-append", " ".join(words)]
    for pattern in machine.trace:
        argv += ["-trace", pattern]
    if machine.terminal:
        argv += ["-chardev", f"socket,id=terminal,path={sockets}/terminal",
                 "-device", "isa-serial,index=2,chardev=terminal"]
    argv += machine.more
    if preload.is_needed(argv):
        return preload.command(preload.get(), argv)
    return argv


class Guest:
    """One run of one machine; `await run()` once."""

    def __init__(self, machine, out, timeout, on_line=None, services=None, tick=None,
                 patience=None):
        """`on_line(line)` gets each line of the channel except requests to the host;
        `tick()` is called twice a second. `patience` ends a silent guest."""
        self.machine, self.out, self.timeout = machine, Path(out), timeout
        self.on_line = on_line or (lambda line: None)
        self.tick = tick or (lambda: None)
        self.services = services or {}
        self.qmp = QMPClient("vtdlab")
        self.connected = asyncio.Event()    # from then on QMP can be used
        self.reason = None
        self.channel = None
        self.writer = None      # to the guest, by the channel
        self.serving = set()    # tasks that read the channel and the terminal
        self.patience = patience or math.inf    # until the first line comes
        self.started = time.monotonic()

    async def run(self):
        """Boots, serves, waits for the end; never leaves a QEMU behind."""
        self.out.mkdir(parents=True, exist_ok=True)
        for name in ("console.log", "channel.log", "qemu-trace.log"):
            (self.out / name).unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(prefix="vtd-qemu-") as sockets, \
                open(self.out / "channel.log", "w", encoding="utf-8") as self.channel:
            servers = [await asyncio.start_unix_server(self._serve, f"{sockets}/channel")]
            if self.machine.terminal:
                servers.append(await asyncio.start_unix_server(self._converse,
                                                               f"{sockets}/terminal"))
            await self.qmp.start_server(f"{sockets}/qmp")
            argv = arguments(self.machine, self.out, sockets)
            (self.out / "qemu-command").write_text("\n".join(argv) + "\n", encoding="utf-8")
            with open(self.out / "qemu.log", "wb") as log:
                child = await asyncio.create_subprocess_exec(
                    *argv, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                return await self._watch(child)
            finally:
                await self._end(child)
                for server in servers:
                    server.close()

    async def _watch(self, child):
        exited = asyncio.create_task(child.wait())
        events = None
        try:
            accepted = asyncio.create_task(self.qmp.accept())
            await asyncio.wait({accepted, exited}, timeout=CONNECT_TIMEOUT,
                               return_when=asyncio.FIRST_COMPLETED)
            if not accepted.done() or accepted.exception() or exited.done():
                accepted.cancel()
                await asyncio.gather(accepted, return_exceptions=True)
                # A QEMU that gives up closes its socket before it has ended.
                await asyncio.wait({exited}, timeout=TICK)
                raise LabError(self._could_not_run(exited.done() and exited.result()))
            await accepted
            self.connected.set()
            events = asyncio.create_task(self._events())
            while not exited.done() and time.monotonic() < self.started + self.timeout:
                await asyncio.wait({exited}, timeout=TICK)
                self.tick()
                if not exited.done() and time.monotonic() > self.started + self.patience:
                    return self._outcome("silent", "the guest sent no line for "
                                                   f"{self.patience} s")
            if not exited.done():
                return self._outcome("timeout", f"the guest was still running after "
                                                f"{self.timeout} s and was stopped")
            # The last events and lines may still be on their way through the sockets.
            await asyncio.wait({events}, timeout=1)
            if self.serving:
                await asyncio.wait(self.serving, timeout=DRAIN_TIMEOUT)
            ending = {"guest-shutdown": "poweroff", "guest-reset": "reset"}.get(self.reason)
            if ending and exited.result() == 0:
                return self._outcome(ending, "")
            if exited.result() == preload.UNFIT:
                raise LabError(self._could_not_run(preload.UNFIT))
            return self._outcome("died", f"QEMU ended with status {exited.result()}, "
                                         f"reason {self.reason or 'unknown'}")
        finally:
            for task in (events, exited):
                if task:
                    task.cancel()

    def _could_not_run(self, status):
        said = (self.out / "qemu.log").read_text(encoding="utf-8", errors="replace").strip()
        if status == preload.UNFIT:
            return ("The guest could not run, because selftests/qemu does not fit this QEMU; "
                    f"{self.out / 'qemu.log'} says:\n{said}")
        return f"QEMU did not start; {self.out / 'qemu.log'} says:\n{said}"

    async def _events(self):
        with self.qmp.listener(("SHUTDOWN", "GUEST_PANICKED")) as listener:
            async for event in listener:
                self.reason = event["data"].get("reason", event["event"])

    async def _end(self, child):
        if child.returncode is None:
            with contextlib.suppress(QMPError, asyncio.TimeoutError):
                await asyncio.wait_for(self.qmp.execute("quit"), QUIT_TIMEOUT)
            try:
                await asyncio.wait_for(child.wait(), QUIT_TIMEOUT)
            except asyncio.TimeoutError:
                child.kill()
                await child.wait()
        with contextlib.suppress(QMPError, EOFError, OSError):
            await self.qmp.disconnect()

    def _outcome(self, ending, detail):
        return Outcome(ending, time.monotonic() - self.started, self.out / "console.log",
                       self.out / "qemu-trace.log", detail)

    async def _serve(self, reader, writer):
        """Serves the channel: reads lines, answers requests."""
        self.serving.add(asyncio.current_task())
        self.writer = writer
        with contextlib.suppress(ConnectionError):
            while raw := await reader.readline():
                self.patience = math.inf
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                self.channel.write(f"{time.monotonic() - self.started:8.2f} {line}\n")
                self.channel.flush()
                if line.startswith("host "):
                    writer.write((await self._request(line.split()[1:]) + "\n").encode())
                    await writer.drain()
                else:
                    self.on_line(line)
        writer.close()

    async def _converse(self, reader, writer):
        """Connects the guest's third port to the terminal."""
        self.serving.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError):
            await self.machine.terminal.serve(self, reader, writer)
        writer.close()

    def push(self, line):
        """Sends the guest a line that it did not request."""
        self.writer.write(f"{line}\n".encode())

    async def quit(self):
        """Ends the machine without a request to its guest."""
        with contextlib.suppress(QMPError):
            await self.qmp.execute("quit")

    async def _request(self, words):
        verb = words[0] if words else ""
        if verb not in self.services:
            return f"error no service called {verb!r}"
        try:
            return "ok " + str(await self.services[verb](self, *words[1:]) or "")
        except (QMPError, TypeError, ValueError, OSError) as err:
            return f"error {err}"


def boot(machine, out, timeout, on_line=None, services=None, tick=None, again=True):
    """Runs one guest to its end, from ordinary code. A silent one is booted a second time if
    `again`, which may take the whole time again; its console is stored as silent-console.log."""
    if not os.path.exists(machine.kernel):
        raise LabError(f"There is no kernel at {machine.kernel} to boot.")
    callbacks = (on_line, services, tick)
    outcome = asyncio.run(Guest(machine, out, timeout, *callbacks, machine.patience).run())
    if outcome.ending == "silent" and again:
        outcome.console.rename(outcome.console.with_name("silent-console.log"))
        outcome = asyncio.run(Guest(machine, out, timeout, *callbacks).run())
    return outcome
