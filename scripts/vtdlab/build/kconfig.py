# SPDX-License-Identifier: GPL-2.0
"""Kernel configuration fragments: what they request, and whether they got it."""

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "config"

_SET = re.compile(r"^(CONFIG_\w+)=(.*)$")
_UNSET = re.compile(r"^# (CONFIG_\w+) is not set$")


def parse(text):
    """Returns options with their values; an option that is off has the value "n"."""
    options = {}
    for line in text.splitlines():
        line = line.strip()
        if match := _SET.match(line):
            options[match[1]] = match[2]
        elif match := _UNSET.match(line):
            options[match[1]] = "n"
    return options


def unmet(wanted, got):
    """Returns the differences: every wanted option with another value.

    Both arguments are what parse() gives; an option that .config does not
    mention is off.
    """
    return [f"{name}={value} (is {got.get(name, 'n')})"
            for name, value in sorted(wanted.items()) if got.get(name, "n") != value]


# The fragments of each kernel; a later file overrides an earlier one.
FLAVOURS = {"test": ("test",), "debug": ("test", "debug"), "kcsan": ("test", "kcsan")}


def fragment(flavour):
    """Returns the text that a kernel of this flavour is configured from."""
    return "".join((FOLDER / f"{name}.config").read_text(encoding="utf-8")
                   for name in FLAVOURS[flavour])
