# SPDX-License-Identifier: GPL-2.0
"""The heads of the tests: a comment says in which boots a test runs.

    # Boots: ordinary*, held
    # Order: first

A star: on the older kernel series, too. The tests of a boot run in the order of their names, after
those that are first and before those that are last.
"""

import os
import re

from vtdlab import cache as lab

_BOOTS = re.compile(r"^# Boots: (.*(?:\n# {7}.*)*)", re.M)
_ORDER = re.compile(r"^# Order: (first|last)$", re.M)


def read():
    """Returns the head of each test by name: (its boots, its place among the tests of a boot)."""
    found = {}
    for path in sorted((lab.checkout() / "selftests").glob("*.sh")):
        text = path.read_text(encoding="utf-8")
        if os.access(path, os.X_OK):
            boots, order = _BOOTS.search(text), _ORDER.search(text)
            words = re.sub(r"\n# +", " ", boots[1]).split(", ") if boots else []
            place = {"first": 0, "last": 2}[order[1]] if order else 1
            found[path.stem] = words, (place, path.stem)
    return found


def run_in(boot, heads, older=False):
    """Returns the tests that run in a boot, in order."""
    names = {f"{boot}*"} | (set() if older else {boot})
    here = [(place, test) for test, (boots, place) in heads.items() if names & set(boots)]
    return tuple(test for _, test in sorted(here))
