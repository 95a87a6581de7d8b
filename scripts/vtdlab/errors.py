# SPDX-License-Identifier: GPL-2.0
"""The one error type that a user is meant to read."""

import difflib


class LabError(Exception):
    """A sentence that names what was wrong, with which value, and what to do.

    The command line prints it without a traceback and exits with status 1.
    """


def is_none_of(what, name, known, listed=""):
    """The sentence for a name that is none of the known ones: those that are like it, and all of
    them, or what describes them."""
    near = difflib.get_close_matches(name, known, 3)
    meant = f" (did you mean {' or '.join(near)}?)" if near else ""
    return f"there is no {what} '{name}'{meant}; there are {listed or ', '.join(known)}"
