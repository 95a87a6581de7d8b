# SPDX-License-Identifier: GPL-2.0
"""What the programs that people run have in common: arguments, and output.

A wrong argument is one sentence and status 2. Output that nobody reads any more
ends the program quietly, and signs that the output's encoding lacks become
plain ones.
"""

import argparse
import codecs
import os
import sys

# What trees are drawn with; all other signs become a question mark.
PLAIN = {"└": "`", "├": "|", "│": "|", "─": "-", "…": "~"}
# As a shell reports a program that ended by SIGPIPE.
BROKEN_PIPE = 141


class Parser(argparse.ArgumentParser):
    """argparse, but what it does not understand is one sentence."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _plain(error):
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start:error.end]
    return "".join(PLAIN.get(sign, "?") for sign in signs), error.end


def run(main):
    """The exit status of main(), for programs that people run."""
    codecs.register_error("vtd-plain", _plain)
    sys.stdout.reconfigure(errors="vtd-plain")
    try:
        status = main()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Python writes what is left when it ends, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as err:
        print(f"{os.path.basename(sys.argv[0])}: the output cannot be written: {err.strerror}",
              file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
