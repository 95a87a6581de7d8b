# SPDX-License-Identifier: GPL-2.0
"""`make guest`: a command with its output and status, and a shell at a terminal."""

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

import pytest

import boots

TIMEOUT = 240
LEAST = 60      # seconds for an answer of the shell
COMMAND = [sys.executable, "-m", "vtdlab", "guest", "--accel", "tcg"]
EDU, NVME = "0000:00:05.0", "0000:01:00.0"
# busybox asks the terminal where its cursor is.
PROMPT = r"# (\x1b\[6n)?$"
# What a guest leaves.
LEFT = {"channel.log", "console.log", "machine.svg", "machine.tar.gz", "qemu-command", "qemu-trace.log",
        "qemu.log", "report.txt", "terminal.log"}


def pytest_generate_tests(metafunc):
    """Parametrizes by the first requested series."""
    series = (metafunc.config.getoption("--series") or boots.SERIES)[0]
    metafunc.parametrize("series", [series])


def guest(series, out, *options):
    """Runs a guest without a terminal."""
    done = subprocess.run([*COMMAND, "--series", series, "--out", str(out), *options], check=False,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT)
    # Not by `text`, which would replace line ends.
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    return done


def test_a_command_runs_and_its_output_and_status_are_those_of_make_guest(series, tmp_path):
    """vtd doctor reads the driver's unit; the trace and vtd agree on what an attack did."""
    script = (f"vtd --json doctor; attack {EDU} never-mapped > /dev/null; sleep 1; vtd faults >&2; "
              "printf 'a\\nb\\r\\n'; exit 7")
    done = guest(series, tmp_path, "--run", script)
    assert done.returncode == 7, done.stderr
    answer, end = json.JSONDecoder().raw_decode(done.stdout)
    assert "vtd's parser takes it" in str(answer)
    rest = done.stdout[end:]
    assert EDU in rest and "reason 0x05" in rest and rest.endswith("a\nb\r\n")
    assert re.search(r"1 request of devices, of which vtd reported 1\b", done.stderr), done.stderr
    (folder,) = (path for path in tmp_path.iterdir() if not path.is_symlink())
    assert (tmp_path / "last").resolve() == folder.resolve()
    assert {path.name for path in folder.iterdir()} == LEFT
    assert (folder / "terminal.log").read_bytes().decode() == done.stdout
    report = (folder / "report.txt").read_text(encoding="utf-8")
    assert "driver vtd" in report and script in report and "status: 7" in report


class Typist:
    """Types at a separate terminal, and reads what is shown."""

    def __init__(self, argv):
        self.terminal, inner = pty.openpty()
        self.resize(40, 100)
        self.before = termios.tcgetattr(inner)

        def take():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        # Only the child has a terminal to control.
        self.child = subprocess.Popen(argv, stdin=inner, stdout=inner, stderr=inner,
                                      start_new_session=True, preexec_fn=take)
        self.inner, self.shown, self.at = inner, "", 0

    def resize(self, rows, columns):
        """Changes the size of the terminal."""
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys):
        """Types, and begins to look for answers there."""
        self.at = len(self.shown)
        os.write(self.terminal, keys.encode())

    def sees(self, pattern, seconds=LEAST):
        """Waits until this is shown."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.shown[self.at:]):
            assert time.monotonic() < end, f"no {pattern!r} in {self.shown[self.at:]!r}"
            if select.select([self.terminal], [], [], 1)[0]:
                self.shown += os.read(self.terminal, 65536).decode("utf-8", "replace")
        return True


def test_a_shell_has_the_keys_and_the_size_of_the_terminal(series, tmp_path):
    """Ctrl-C interrupts a command in the guest only; the terminal is afterwards as before."""
    typist = Typist([*COMMAND, "--series", series, "--out", str(tmp_path), "--driver", "none",
                     "--device", "edu,addr=10.0"])
    try:
        typist.sees(r"Ctrl-\] ends the machine immediately", TIMEOUT)
        typist.sees(PROMPT)
        typist.type("stty size; ls /sys/bus/pci/devices\r")
        typist.sees(r"\b40 100\r\n") and typist.sees(r"0000:00:10\.0")
        typist.resize(30, 90)
        typist.type("sleep 2; stty size\r")
        typist.sees(r"\b30 90\r\n")
        typist.type("sleep 1000\r")
        time.sleep(2)
        typist.type("\x03")
        typist.sees(PROMPT)
        typist.type("echo status $?; load; vtd why " + NVME + "\r")
        typist.sees(r"status 130\r\n") and typist.sees(r"unit +dmar\d ")
        typist.type("exit 3\r")
        typist.sees(r"kept ")
        assert typist.child.wait(LEAST) == 3
        assert termios.tcgetattr(typist.inner) == typist.before
    finally:
        typist.child.kill()
        typist.child.wait()


@pytest.mark.parametrize("driver, owner", [("intree", "DMAR: ")])
def test_the_same_attack_under_the_in_tree_driver(series, tmp_path, driver, owner):
    """The tool and the report work without vtd, too; a further machine is named."""
    done = guest(series, tmp_path, "--driver", driver, "--machine", "client", "--run",
                 f"attack {EDU} never-mapped | grep -o landed=.; vtd why {EDU}; dmesg")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("landed=0\n") and re.search(r"unit +dmar\d\b", done.stdout)
    assert owner in done.stdout and "\nvtd:" not in done.stdout
    assert "1 request of devices, of which the kernel's own driver reported 1" in done.stderr
