# SPDX-License-Identifier: GPL-2.0
"""Long steps, shown while they run.

On a terminal one line counts the seconds; in a log a line is written at the
start, every half minute, and at the end. The step's own output goes to a log
file whose end is shown when it fails.
"""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from vtdlab.errors import LabError

LOG_EVERY = 30.0
TAIL_LINES = 25
# While it is set, what runs in other threads ends.
STOP = threading.Event()


def clock(seconds):
    """Elapsed time for people: 42 s, 3 min 07 s."""
    seconds = int(seconds)
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60:02d} s"


class Step:
    """One step in progress; update it from a loop, end it once."""

    def __init__(self, kind, text, stream=None):
        self.stream = stream or sys.stdout
        self.kind, self.text = kind, text
        self.start = time.monotonic()
        self.shown = self.start
        self.tty = self.stream.isatty()
        self._write("" if self.tty else " ...")

    def _write(self, tail, end=False):
        line = f"  {self.kind:<9} {self.text}{tail}"
        if self.tty:
            width = os.get_terminal_size(self.stream.fileno()).columns or 80
            self.stream.write("\r\033[K" + line[: width - 1] + ("\n" if end else ""))
        else:
            self.stream.write(line + "\n")
        self.stream.flush()

    def update(self, note=""):
        """Show that it still runs; call as often as you like."""
        now = time.monotonic()
        if now - self.shown < (0.5 if self.tty else LOG_EVERY):
            return
        self.shown = now
        self._write(f" ... {clock(now - self.start)}{' ' + note if note else ''}")

    def end(self, note=""):
        """The last line of the step; returns how many seconds it took."""
        took = time.monotonic() - self.start
        self._write(f": {note or 'done'}, {clock(took)}", end=True)
        return took


def tail(path, lines=TAIL_LINES):
    """The last lines of a log, for an error message."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join("    " + line for line in text.splitlines()[-lines:])


def run(kind, text, argv, log, *, timeout, digest=None, **popen):
    """Run a command as one shown step; its output goes to `log`.

    Raises LabError when it fails, with what `digest` picks from the log's text
    or else the log's end, and when it takes longer than `timeout` seconds.
    """
    log = Path(log)
    log.parent.mkdir(parents=True, exist_ok=True)
    step = Step(kind, text)
    with open(log, "wb") as out:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT, **popen)
        try:
            while True:
                try:
                    code = child.wait(0.5)
                    break
                except subprocess.TimeoutExpired:
                    step.update()
                if STOP.is_set():
                    step.end("stopped")
                    raise LabError(f"{text} was stopped.")
                if time.monotonic() - step.start > timeout:
                    step.end("given up")
                    raise LabError(f"{text} took longer than {clock(timeout)} and was "
                                   f"stopped; its log is {log}:\n{tail(log)}")
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait(30)
    if code:
        step.end(f"failed with status {code}")
        picked = digest(log.read_text(encoding="utf-8", errors="replace")) if digest else ""
        raise LabError(f"{text} failed; its log is {log}:\n{picked or tail(log)}")
    return step.end()
