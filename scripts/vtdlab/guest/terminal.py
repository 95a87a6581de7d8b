# SPDX-License-Identifier: GPL-2.0
"""The terminal of a guest that a person uses: keys to its third serial port, its output back.

While the shell runs, the terminal is raw, so that each key reaches the guest, Ctrl-C too. One key is
kept: Ctrl-] ends the machine. A change of the terminal's size is sent by the channel.

Without a terminal the guest runs one command, and its output is passed on as it is.
"""

import asyncio
import base64
import contextlib
import os
import signal
import termios
import tty

LEAVE = b"\x1d"     # Ctrl-]
CHUNK = 1 << 16


class Terminal:
    """One session. Its guest requests `session`, and reports when the shell runs."""

    def __init__(self, command, copy, stdin=0, stdout=1):
        """`command` is None for a shell; the output is also written to the file `copy`."""
        self.command, self.copy = command, copy
        self.stdin, self.stdout = stdin, stdout
        self.is_tty = os.isatty(self.stdin) and os.isatty(self.stdout)
        self.left = False       # by Ctrl-]
        self.guest = self.writer = None
        self.saved = None       # the terminal's state, while it is raw

    async def session(self, _guest):
        """Answers the guest: rows and columns, the kind of terminal, the command in base64."""
        rows, columns = self._size() if self.is_tty else (0, 0)
        encoded = base64.b64encode(self.command.encode()).decode() if self.command else "-"
        return f"{rows} {columns} {os.environ.get('TERM') or 'vt100'} {encoded}"

    def _size(self):
        size = os.get_terminal_size(self.stdout)
        return size.lines, size.columns

    async def serve(self, guest, reader, writer):
        """Passes the guest's output on until it ends."""
        self.guest, self.writer = guest, writer
        with open(self.copy, "ab") as copy:
            while data := await reader.read(CHUNK):
                copy.write(data)
                copy.flush()
                self._show(data)

    def _show(self, data):
        # A closed output, such as a pipe to head, does not end the guest's command.
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self.stdout, data):]

    def begin(self):
        """Connects the keys; called when the guest's shell is about to run."""
        if not self.is_tty or self.saved:
            return
        loop = asyncio.get_running_loop()
        self.saved = termios.tcgetattr(self.stdin)
        tty.setraw(self.stdin)
        loop.add_reader(self.stdin, self._keys)
        loop.add_signal_handler(signal.SIGWINCH, self._resized)

    def end(self):
        """Restores the terminal; may be called at any time."""
        if self.saved:
            termios.tcsetattr(self.stdin, termios.TCSADRAIN, self.saved)
            self.saved = None

    def _keys(self):
        data = os.read(self.stdin, CHUNK)
        if LEAVE in data or not data:
            self.left = True
            asyncio.get_running_loop().remove_reader(self.stdin)
            asyncio.ensure_future(self.guest.quit())
        else:
            self.writer.write(data)

    def _resized(self):
        rows, columns = self._size()
        self.guest.push(f"size {rows} {columns}")
