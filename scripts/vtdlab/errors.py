# SPDX-License-Identifier: GPL-2.0
"""The one error type that a user is meant to read."""


class LabError(Exception):
    """A sentence that names what was wrong, with which value, and what to do.

    The command line prints it without a traceback and exits with status 1.
    """
