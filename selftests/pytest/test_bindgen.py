# SPDX-License-Identifier: GPL-2.0
"""The bindings of our own bindgen run are complete and the same on every series, and none of
them is a second type for one that kernel::bindings already has."""

import difflib
import re
import shlex

import pytest

from vtdlab import cache as lab
from vtdlab.build import kernel, module

ITEM = re.compile(r"^ *pub (?:unsafe )?(?:const |static (?:mut )?|struct |union |type |fn |enum )"
                  r"([A-Za-z_]\w*)")
# Items that bindgen puts into every output for its own use.
OWN = re.compile(r"^(__Bindgen|__IncompleteArrayField|_bindgen_ty_)")


def _outputs(series):
    """Returns (our bindings, the kernel's) as text; builds the module if needed."""
    cache = lab.Cache()
    built = kernel.get(cache, series)
    ours = module.get(cache, built).parent / "bindings_generated.rs"
    theirs = built.kdir / "rust/bindings/bindings_generated.rs"
    return ours.read_text(encoding="utf-8"), theirs.read_text(encoding="utf-8")


def items(text):
    """Returns the names of the items at the top level and in extern blocks; no methods."""
    found, extern = set(), False
    for line in text.splitlines():
        if not line.startswith((" ", "}")):
            extern = 'extern "C" {' in line
        name = ITEM.match(line) if extern or line.startswith("pub ") else None
        if name and not OWN.match(name[1]):
            found.add(name[1])
    return found


def allowed():
    """Returns the patterns of rust/bindgen_parameters."""
    text = (lab.checkout() / "rust/bindgen_parameters").read_text(encoding="utf-8")
    words = shlex.split(text, comments=True)
    return [pattern for word, pattern in zip(words, words[1:])
            if word.startswith("--allowlist-")]


def alternatives(pattern):
    """Returns `a(b|c)` as `ab`, `ac`: each must be found in the bindings."""
    found = re.match(r"^([^()|]*)\(([^()]*)\)([^()|]*)$", pattern)
    if not found:
        return [pattern]
    return [found[1] + middle + found[3] for middle in found[2].split("|")]


def test_items_are_read_from_every_form():
    """Tests the reader itself."""
    text = ("pub struct a {\n    pub x: u8,\n}\npub union b {\n}\npub const C: u32 = 1;\n"
            "pub type d = u8;\nextern \"C\" {\n    pub fn e();\n}\nimpl a {\n    pub fn f() {}\n}\n")
    assert items(text) == {"a", "b", "C", "d", "e"}


def test_alternatives_are_taken_apart():
    """Patterns in the form of bindgen_parameters."""
    assert alternatives("pt(_ops|_info|)") == ["pt_ops", "pt_info", "pt"]
    assert alternatives("vtd_.*") == ["vtd_.*"]


@pytest.mark.parametrize("series", kernel.SERIES)
def test_no_item_shadows_the_kernels(series):
    """A local item of the same name would be another type."""
    ours, theirs = _outputs(series)
    both = sorted(items(ours) & items(theirs))
    assert not both


@pytest.mark.parametrize("series", kernel.SERIES)
def test_every_requested_item_is_generated(series):
    """Detects a header that lost an item, by name."""
    names = items(_outputs(series)[0])
    missing = [pattern for whole in allowed() for pattern in alternatives(whole)
               if not any(re.fullmatch(pattern, name) for name in names)]
    assert not missing, f"{series} has no {', '.join(missing)}"


def test_series_agree():
    """A difference between kernels would be an unnoticed change of layout."""
    first, *others = (_outputs(series)[0].splitlines() for series in kernel.SERIES)
    for other in others:
        change = "\n".join(difflib.unified_diff(first, other, lineterm=""))
        assert not change, change
