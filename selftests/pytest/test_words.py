# SPDX-License-Identifier: GPL-2.0
"""The driver, its tests and its pages use the words of the specification and of the kernel, not
a dialect of their own. The tests read comments, strings, pages and names."""

import io
import re
import tokenize
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]

# A word that is not written, and what is written instead.
WORDS = {
    r"forg[eo]t\w*": "invalidate (translations), remove, release",
    r"(?:is|are|was|were|be) told|told (?:of|apart)|tells? of|untold": "report, distinguish",
    r"anew": "again",
    r"meanwhile": "concurrently, since",
    r"whoever|whomever": "the caller that, any device that",
    r"for want of|want of": "for lack of",
    r"besides?": "in addition to, next to, as well",
    r"speaks? (?:with|by)|spoken for": "uses (a requester ID), reserved",
    r"stands? (?:in|for|there|still)|stood still": "is in, stands in for: say what it does",
    r"becom(?:es|ing|e) of|came of|comes of": "result of",
    r"past (?:the|a|its|each|every) unit": "bypassing the unit",
    r"way back|ways back": "an attach that must not fail",
    r"strangers?": "unknown requester",
    r"provok\w+": "inject (an error)",
    # "nobody" in quotes is a value: `owner=nobody` in debugfs.
    r"""(?<!["'`=])(?<!owner.)nobody(?!["'`])|somebody|anybody""":
        "no one is a person: name the caller, the device, the user",
    r"lets? go|letting go": "release",
    r"(?:is|are|was|were|be) held against": "compare",
    r"closed units?|units? (?:is|was|are|were) closed|closes? (?:the|a) unit": "failed unit, fail",
    r"to no purpose|in vain": "without effect",
    r"asks? (?:for )?news|wants? news": "needs an invalidation after a map",
    r"at fault is|whose fault": "caused by",
    r"at home": "on its primary unit",
    r"\w+ of (?:one's|its|their|his) own kind": "separate",
    r"at once": "immediately, at the same time",
    r"go(?:es)? on|went on|going on": "continue",
    r"(?:gives?|given|gave|giving) back": "free, release, return",
    r"at work": "in use, in progress",
    r"so many": "this many, that number",
    r"tells? apart": "distinguish",
    r"in one go": "in one step, without a break",
    r"made for": "for, built for",
    r"of (?:its|their) own(?=[.,;:)])": "its own, separate",
    r"obey(?:s|ed)?": "respond, conform",
    r"stands?|stood": "is, is in, stay",
    r"hitherto|thereof|therein|whereof|wherein|hence|whence|thence|lest|albeit": "plain English",
}
# The same in names.
NAMES = re.compile(r"(?:^|_)(?:forg[eo]t\w*|tells?|told|anew|meanwhile|strangers?|provoke\w*|beside"
                   r"|past|whoever|nobody|somebody|untold|ways?_back)(?:_|$)"
                   r"|Forget|Stranger|Provoke|Beside", re.I)
# Hits that are right: the path, and a piece of the line.
RIGHT = {
    ("selftests/pytest/test_words.py", ""),     # the list itself
    # Their hash is a key of the cache.
    *((f"scripts/{name}", "") for name in ("build-root", "prepare-kdir", "config/test.config",
                                           "config/debug.config", "config/kcsan.config")),
    ("README.md", "device           at            work"),    # the head of a table
    ("scripts/vtdlab/guest/acpi.py", "tell"),         # of Python's files
    ("src/driver/unload.rs", "forget"),         # of Rust's core::mem
    ("src/core/concurrent/interrupts.rs", "forget"),
    ("rust/msi/device.rs", "forget"),
}

RUST = re.compile(r'//[^\n]*|"(?:[^"\\]|\\.)*"', re.S)
C = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"', re.S)
# The names of a shell script: its variables and functions.
SHELL_NAMES = re.compile(r"\$\{?([a-z_]\w*)|^\s*(?:local )?([a-z_]\w*)(?:=|\(\) \{)", re.M | re.I)
SHELL = re.compile(r'''(?:^|(?<=\s))#[^\n]*|"(?:[^"\\]|\\.)*"|'[^']*\'''', re.M | re.S)
SKIPPED = {"__pycache__", "target", "corpus"}


def _python(text):
    """Yields the comments and strings of a Python file, each with its line number."""
    wanted = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in wanted:
            yield token.start[0], token.string


def _found_by(pattern):
    def read(text):
        for found in pattern.finditer(text):
            yield text.count("\n", 0, found.start()) + 1, found[0]
    return read


READERS = {".rs": _found_by(RUST), ".c": _found_by(C), ".h": _found_by(C), ".py": _python,
           ".sh": _found_by(SHELL), ".rst": lambda text: [(1, text)],
           ".md": lambda text: [(1, text)], ".dot": _found_by(C)}
# Files with `#` comments.
READERS |= dict.fromkeys((".conf", ".config", ".toml", ".ini", ".cfg"), READERS[".sh"])
BY_NAME = {"Kbuild": ".sh", "Makefile": ".sh", "config": ".sh", "settings": ".sh",
           "bindgen_parameters": ".sh",
           # Of debian/.
           "vtd-dkms.dkms": ".conf", "vtd-dkms.preinst": ".sh",
           "vtd-dkms.postrm": ".sh", "vtd-dkms.README.Debian": ".md", "control": ".md"}


def _kind(path):
    """Returns the suffix of a file; of a script without one, the suffix of its interpreter."""
    if not path.is_file():
        return ""
    if path.suffix or path.name in BY_NAME:
        return BY_NAME.get(path.name, path.suffix)
    with path.open("rb") as file:
        first = file.readline()
    return "" if not first.startswith(b"#!") else ".py" if b"python" in first else ".sh"


ROOT = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "Kbuild", "Cargo.toml")


def _files():
    for folder in ("src", "rust", "bench", "selftests", "scripts", "Documentation", "fuzz", "tools",
                   "debian"):
        for path in sorted((TOP / folder).rglob("*")):
            if _kind(path) in READERS and not SKIPPED & set(path.relative_to(TOP).parts):
                yield path
    yield from (TOP / name for name in ROOT)


FILES = list(_files())


def _is_right(path, line):
    return any(path == one and piece in line for one, piece in RIGHT)


def _dialect(path, patterns):
    name, text = str(path.relative_to(TOP)), path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for first, prose in READERS[_kind(path)](text):
        for pattern, instead in patterns:
            for found in pattern.finditer(prose):
                number = first + prose.count("\n", 0, found.start())
                if not _is_right(name, lines[number - 1]):
                    yield f"{name}:{number}: {' '.join(found[0].split())!r}: {instead}"


PATTERNS = [(re.compile(rf"\b(?:{one})\b".replace(" ", r"[\s/#*!]+"), re.I), instead)
            for one, instead in WORDS.items()]


@pytest.mark.parametrize("top", ["src", "rust", "bench", "selftests", "scripts", "Documentation",
                                 "fuzz", "tools", *ROOT])
def test_prose(top):
    wrong = [line for path in FILES if path.relative_to(TOP).parts[0] == top
             for line in _dialect(path, PATTERNS)]
    assert not wrong, "\n" + "\n".join(wrong)


def _names(path):
    """Yields the names of a program's functions, types, variables, parameters and fields."""
    text, kind = path.read_text(encoding="utf-8"), _kind(path)
    if kind == ".py":
        yield from (token.string for token in tokenize.generate_tokens(io.StringIO(text).readline)
                    if token.type == tokenize.NAME)
    elif kind == ".sh":
        yield from (found[1] or found[2] for found in SHELL_NAMES.finditer(text))
    elif kind in (".rs", ".c", ".h"):
        yield from re.findall(r"\b[A-Za-z_]\w*", (RUST if kind == ".rs" else C).sub(" ", text))


def test_names():
    wrong = [f"{path.relative_to(TOP)}: {name}" for path in FILES
             for name in dict.fromkeys(_names(path)) if NAMES.search(name)
             and not _is_right(str(path.relative_to(TOP)), name)]
    wrong += [str(path.relative_to(TOP)) for path in FILES if NAMES.search(path.stem)]
    assert not wrong, "\n" + "\n".join(wrong)


def test_files_are_found():
    assert {_kind(path) for path in FILES} == set(READERS) and len(FILES) > 200
