# SPDX-License-Identifier: GPL-2.0
"""What compilers complain about, picked out of a build log."""

import re

# A warning or an error of rustc, clippy, a C compiler or modpost.
COMPLAINT = re.compile(r"^(warning|error)(\[|:)|: (warning|error|fatal error):|^(WARNING|ERROR):? ")
ERROR = re.compile(r"^error(\[|:)|: (fatal )?error:|^ERROR:? ")
SUMMARY = re.compile(r"\d+ (warnings?|errors?) emitted|could not compile|aborting due to"
                     r"|\d+ previous error")
BLOCK_LINES = 20


def _blocks(text, pattern):
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if pattern.search(line) and not SUMMARY.search(line):
            block = lines[number:number + BLOCK_LINES]
            yield "\n".join(block[:block.index("")] if "" in block else block)


def complaints(text):
    """Every warning and error, each with the lines that explain it."""
    return "\n\n".join(_blocks(text, COMPLAINT))


def errors(text):
    """The errors alone: what a person needs when a build failed."""
    return "\n\n".join(_blocks(text, ERROR))
