# SPDX-License-Identifier: GPL-2.0
"""The sizes of the code's files and functions: a file is read without a break, and a function fits a
screen. Lines are counted with comments, as rustfmt has laid them out."""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
FILES = sorted(path for folder in ("src", "rust", "bench", "tools") for path in (TOP / folder).rglob("*")
               if path.suffix in (".rs", ".c", ".h") and "target" not in path.parts)
# `build.rs` has functions in strings.
RUST = [path for path in FILES if path.suffix == ".rs" and path.name != "build.rs"]

FILE_LINES = 400
FUNCTION_LINES = 60
# A test may spell out many cases.
TEST_LINES = 100

_FUNCTION = re.compile(r"( *)(?:pub(?:\([^)]*\))? )?(?:const )?(?:unsafe )?(?:extern \"C\" )?"
                       r"fn ([\w$]+)")


def functions(text):
    """Returns the name, the first line and the number of lines of each function."""
    lines = text.split("\n")
    for first, line in enumerate(lines):
        if start := _FUNCTION.match(line):
            # A declaration ends with the signature's semicolon, a body with its brace.
            end = re.compile(re.escape(start[1]) + r"(?:\}$|\S.*;$|\S.*\}$)")
            last = next(at for at in range(first, len(lines)) if end.match(lines[at]))
            yield start[2], first + 1, last - first + 1


def is_test(path):
    return "tests" in path.relative_to(TOP).parts


def test_files_are_short():
    assert len(RUST) > 200
    long = {str(path.relative_to(TOP)): lines for path in FILES
            if (lines := path.read_text().count("\n")) > FILE_LINES}
    assert not long, f"more than {FILE_LINES} lines"


def test_functions_are_short():
    found, long = 0, []
    for path in RUST:
        limit = TEST_LINES if is_test(path) else FUNCTION_LINES
        for name, line, lines in functions(path.read_text()):
            found += 1
            if lines > limit:
                long.append(f"{path.relative_to(TOP)}:{line} {name}: {lines} > {limit}")
    assert found > 2000, "hardly a function was found"
    assert not long


@pytest.mark.parametrize("text, lines", [
    ("fn a() {\n    b();\n}\n", [3]),
    ("fn a() {}\nfn b() {\n}\n", [1, 2]),
    ("trait A {\n    fn a(&self);\n    fn b(\n        &self,\n    ) -> u8;\n}\n", [1, 3]),
    ("impl A {\n    pub(crate) const unsafe fn a(\n        &self,\n    ) {\n        if b {\n"
     "        }\n    }\n}\n", [6]),
])
def test_functions_are_found(text, lines):
    assert [count for _, _, count in functions(text)] == lines
