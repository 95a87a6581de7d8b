# SPDX-License-Identifier: GPL-2.0
"""Kernel configuration fragments: what they ask for, and whether they got it."""

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "config"

_SET = re.compile(r"^(CONFIG_\w+)=(.*)$")
_UNSET = re.compile(r"^# (CONFIG_\w+) is not set$")


def parse(text):
    """Option to value; an option that is off has the value "n"."""
    options = {}
    for line in text.splitlines():
        line = line.strip()
        if match := _SET.match(line):
            options[match[1]] = match[2]
        elif match := _UNSET.match(line):
            options[match[1]] = "n"
    return options


def unmet(wanted, got):
    """Sentences' worth of differences: every wanted option that came out otherwise.

    Both arguments are what parse() gives; an option that .config does not
    mention is off.
    """
    return [f"{name}={value} (is {got.get(name, 'n')})"
            for name, value in sorted(wanted.items()) if got.get(name, "n") != value]


# What each kernel is made of; a later file wins over an earlier one.
FLAVOURS = {"test": ("test",), "debug": ("test", "debug"), "kcsan": ("test", "kcsan")}


def fragment(flavour):
    """The text that a kernel of this flavour is configured from."""
    return "".join((FOLDER / f"{name}.config").read_text(encoding="utf-8")
                   for name in FLAVOURS[flavour])
