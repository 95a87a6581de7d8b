# SPDX-License-Identifier: GPL-2.0
"""Long steps, shown while they run.

On a terminal one line counts the seconds; in a log a line is written at the start,
every half minute, and at the end. The step's own output is written to a log file,
whose end is shown if the step fails.
"""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

from vtdlab.errors import LabError

LOG_EVERY = 30.0
TAIL_LINES = 25
# While it is set, steps in other threads end.
STOP = threading.Event()


def clock(seconds):
    """Returns elapsed time in a readable form: 42 s, 3 min 07 s."""
    seconds = int(seconds)
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60:02d} s"


def fit(text, tail, width):
    """Returns both in `width` columns; the text is cut, because the tail has what changes."""
    room = max(width - len(tail), 0)
    if len(text) > room:
        text = (text[:max(room - 1, 0)] + "…")[:room]
    return (text + tail)[:width]


class Lines:
    """Counts the lines of a growing log that match a pattern."""

    def __init__(self, path, pattern):
        self.path, self.pattern = path, re.compile(pattern)
        self.count, self.at, self.rest = 0, 0, b""

    def now(self):
        """Returns the count up to the last whole line."""
        with open(self.path, "rb") as file:
            file.seek(self.at)
            new = file.read()
        self.at += len(new)
        *whole, self.rest = (self.rest + new).split(b"\n")
        self.count += sum(bool(self.pattern.match(line)) for line in whole)
        return self.count


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
        if self.tty:
            width = os.get_terminal_size(self.stream.fileno()).columns or 80
            line = fit(f"  {self.kind:<9} {self.text}", tail, width - 1)
            self.stream.write("\r\033[K" + line + ("\n" if end else ""))
        else:
            self.stream.write(f"  {self.kind:<9} {self.text}{tail}\n")
        self.stream.flush()

    def update(self, note=""):
        """Shows that it still runs; may be called at any rate."""
        now = time.monotonic()
        if now - self.shown < (0.5 if self.tty else LOG_EVERY):
            return
        self.shown = now
        self._write(f" ... {clock(now - self.start)}{', ' + note if note else ''}")

    def end(self, note=""):
        """Prints the last line of the step; returns how many seconds it took."""
        took = time.monotonic() - self.start
        self._write(f": {note or 'done'}, {clock(took)}", end=True)
        return took


def tail(path, lines=TAIL_LINES):
    """Returns the last lines of a log, for an error message."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join("    " + line for line in text.splitlines()[-lines:])


def run(kind, text, argv, log, *, timeout, digest=None, counted=None, **popen):
    """Runs a command as one shown step; its output is written to `log`.

    `counted` is a pattern of the log's lines and the name of those lines, such as (rb"  CC ",
    "files compiled"): their number is shown after the time.

    Raises LabError when it fails, with what `digest` picks from the log's text
    or else the log's end, and when it takes longer than `timeout` seconds.
    """
    log = Path(log)
    log.parent.mkdir(parents=True, exist_ok=True)
    step = Step(kind, text)
    with open(log, "wb") as out:
        lines = Lines(log, counted[0]) if counted else None
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT, **popen)
        try:
            while True:
                try:
                    code = child.wait(0.5)
                    break
                except subprocess.TimeoutExpired:
                    step.update(f"{lines.now():,} {counted[1]}" if lines else "")
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
