# SPDX-License-Identifier: GPL-2.0
"""What the programs for users have in common: arguments, and output.

A wrong argument gives one sentence and status 2. A closed output ends the program
quietly, and characters that the output's encoding lacks are replaced by plain
ones.
"""

import argparse
import codecs
import os
import sys

# The characters that trees are drawn with; all others become a question mark.
PLAIN = {"└": "`", "├": "|", "│": "|", "─": "-", "…": "~"}
# The status that a shell reports for a program that ended by SIGPIPE.
BROKEN_PIPE = 141


class Parser(argparse.ArgumentParser):
    """argparse, with one sentence for a wrong argument."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _plain(error):
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start:error.end]
    return "".join(PLAIN.get(sign, "?") for sign in signs), error.end


def run(main):
    """Returns the exit status of main(), for programs for users."""
    codecs.register_error("vtd-plain", _plain)
    sys.stdout.reconfigure(errors="vtd-plain")
    try:
        status = main()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Python writes the rest of its buffer when it ends, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as err:
        print(f"{os.path.basename(sys.argv[0])}: the output cannot be written: {err.strerror}",
              file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
