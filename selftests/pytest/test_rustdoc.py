# SPDX-License-Identifier: GPL-2.0
"""The documentation of an item states its errors under `# Errors`, and the context in which it may
be called under `# Context`."""

import re
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]

# The documentation of an item, and the item up to its body.
DOC = re.compile(r"(?P<doc>(?:^[ \t]*///[^\n]*\n)+)(?:^[ \t]*(?:#\[|//)[^\n]*\n)*"
                 r"(?P<item>(?:(?!///)[^{;]|;(?= \w))*)", re.M)
FUNCTION = re.compile(r"\s*(?P<public>pub(?:\([^)]*\))? )?[a-z\" C]*\bfn (?P<name>\w+)")
RETURNED = re.compile(r"\)\s*->\s*([^()]*(?:\([^()]*\)[^()]*)*)$")
RESULT = re.compile(r"Result\b|impl (?:Pin)?Init<.*\bError>", re.S)
SECTION = re.compile(r"^# (\w+)$", re.M)
CONTEXT = re.compile(r"(?:^|[.)] )(?:May sleep|Any context|Process context)\b", re.M)
ERRNO = re.compile(r"\. \[`E[A-Z]+`\]")


def _sections(doc):
    """Returns the text of each section by its heading; the first one has none."""
    text = "\n".join(line.strip().removeprefix("///").strip() for line in doc.splitlines())
    first, *rest = SECTION.split(text)
    return {"": first} | dict(zip(rest[::2], rest[1::2]))


def _mistakes(text):
    """Yields the line number, the function and the kind of each mistake in `text`."""
    for found in DOC.finditer(text):
        sections, item = _sections(found["doc"]), found["item"].rstrip()
        function = FUNCTION.match(item)
        returned = RETURNED.search(item)
        place = text.count("\n", 0, found.start("doc")) + 1, function and function["name"]
        if any(CONTEXT.search(prose) for name, prose in sections.items() if name != "Context"):
            yield *place, "the context is not under # Context"
        if any(ERRNO.search(prose) for name, prose in sections.items() if name != "Errors"):
            yield *place, "an errno is not under # Errors"
        if (function and function["public"] and "Errors" not in sections
                and returned and RESULT.match(returned[1])):
            yield *place, "returns a Result, but has no # Errors"


def _files():
    for folder in ("src", "rust", "bench"):
        for path in sorted((TOP / folder).rglob("*.rs")):
            if "tests" not in path.relative_to(TOP).parts:
                yield path


def test_errors_and_context():
    wrong = [f"{path.relative_to(TOP)}:{line}: {name}: {kind}" for path in _files()
             for line, name, kind in _mistakes(path.read_text(encoding="utf-8"))]
    assert not wrong, "\n" + "\n".join(wrong)


def test_mistakes_are_found():
    def headings(doc, item):
        """Returns the headings that the documentation of `item` lacks."""
        lines = "".join(f"    /// {line}".rstrip() + "\n" for line in doc.split("\n"))
        return [kind.split()[-1] for *_, kind in _mistakes(f"{lines}    #[inline]\n    {item}\n")]

    result = "pub(crate) fn get(&self, f: impl Fn() -> u8) -> Result<[u8; 2], E> {"
    assert headings("Gets it.", result) == ["Errors"]
    assert headings("Gets it.\n\n# Errors\n\n[`EIO`] if not.", result) == []
    assert headings("Gets it. [`EIO`] if not.", "fn get() -> Result;") == ["Errors"]
    assert headings("Gets it. May sleep.", "fn get();") == ["Context"]
    assert headings("Gets it.\n\n# Context\n\nMay sleep.", "fn get();") == []
    assert headings("Gets it.", "pub fn get(f: impl Fn() -> Result) -> u8 {") == []


def test_files_are_found():
    assert len(list(_files())) > 150
