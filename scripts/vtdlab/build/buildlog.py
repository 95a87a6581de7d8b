# SPDX-License-Identifier: GPL-2.0
"""Extracts compilers' warnings and errors from a build log."""

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
    """Returns every warning and error, each with the lines that explain it."""
    return "\n\n".join(_blocks(text, COMPLAINT))


def errors(text):
    """Returns only the errors: what a user needs when a build failed."""
    return "\n\n".join(_blocks(text, ERROR))
