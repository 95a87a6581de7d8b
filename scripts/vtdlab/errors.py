# SPDX-License-Identifier: GPL-2.0
"""The one error type whose text is meant for users."""

import difflib


class LabError(Exception):
    """A sentence that names what was wrong, with which value, and what to do.

    The command line prints it without a traceback and exits with status 1.
    """


def is_none_of(what, name, known, listed=""):
    """Returns the sentence for an unknown name: with similar known names, and all of them, or
    `listed`, which describes them."""
    near = difflib.get_close_matches(name, known, 3)
    meant = f" (did you mean {' or '.join(near)}?)" if near else ""
    return f"there is no {what} '{name}'{meant}; there are {listed or ', '.join(known)}"
