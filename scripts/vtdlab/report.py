# SPDX-License-Identifier: GPL-2.0
"""Reports for users: headings, tables, verdicts. The same text is written to a file.

Colour is used only if the output is a terminal, never in the file.
"""

import os
import re
import sys

COLOURS = {"good": "32", "bad": "31;1", "head": "1", "dim": "2"}
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


class Report:
    """Prints, keeps a copy, and counts what passed."""

    def __init__(self, copy=None, stream=None):
        self.stream = stream or sys.stdout
        self.copy = open(copy, "w", encoding="utf-8") if copy else None
        self.colour = self.stream.isatty() and "NO_COLOR" not in os.environ
        self.passed, self.failed = 0, 0
        self.on_check = None    # called with (good, text, detail) of each check

    def close(self):
        """Closes the copy; printing continues."""
        if self.copy:
            self.copy.close()
            self.copy = None

    def paint(self, text, kind):
        """Returns text in a colour, if there is colour."""
        return f"\x1b[{COLOURS[kind]}m{text}\x1b[0m" if self.colour else text

    def line(self, text=""):
        """Prints one line."""
        print(text, file=self.stream, flush=True)
        if self.copy:
            self.copy.write(ESCAPE.sub("", text) + "\n")
            self.copy.flush()

    def heading(self, text):
        """Prints a line that starts a part."""
        self.line()
        self.line(self.paint(text, "head"))

    def table(self, rows, header=None, indent=2):
        """Prints columns as wide as their widest cell; numbers to the right."""
        rows = [[str(cell) for cell in row] for row in rows]
        everything = ([list(header)] if header else []) + rows
        if not everything:
            return
        widths = [max(len(ESCAPE.sub("", row[column])) for row in everything)
                  for column in range(len(everything[0]))]
        for number, row in enumerate(everything):
            cells = [self._cell(cell, width) for cell, width in zip(row, widths)]
            text = (" " * indent + "  ".join(cells)).rstrip()
            self.line(self.paint(text, "dim") if header and number == 0 else text)

    @staticmethod
    def _cell(cell, width):
        bare = ESCAPE.sub("", cell)
        space = " " * (width - len(bare))
        return space + cell if bare.replace(",", "").isdigit() else cell + space

    def check(self, good, text, detail=""):
        """Prints one condition and its verdict. Returns whether it holds."""
        if good:
            self.passed += 1
        else:
            self.failed += 1
        if self.on_check:
            self.on_check(good, text, detail)
        word = self.paint("pass", "good") if good else self.paint("FAIL", "bad")
        self.line(f"  {word}  {text}" + (f": {detail}" if detail and not good else ""))
        return good

    def verdict(self, name):
        """Prints the last line; returns the exit status."""
        kind = "bad" if self.failed or not self.passed else "good"
        self.line()
        self.line(self.paint(f"{name}: {self.passed} passed, {self.failed} failed", kind))
        return 0 if self.passed and not self.failed else 1


def size(count):
    """Returns a number of bytes in a readable form."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def number(value):
    """Returns a count with thousands separated; '-' for none."""
    return "-" if value is None else f"{value:,}"
