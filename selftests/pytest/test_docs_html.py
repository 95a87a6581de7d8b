# SPDX-License-Identifier: GPL-2.0
"""The pages become a book without a warning, and its pictures match their sources.

So every reference has a target, every page is in a table of contents, and every picture exists.
"""

import re
import shutil
import subprocess

import pytest

from vtdlab import cache as lab
from vtdlab.commands import docs

PAGES = lab.checkout() / "Documentation"
TIMEOUT = 300


def build(source, out):
    """Returns Sphinx's status and its complaints."""
    done = subprocess.run(docs.sphinx(source, out / "html", out / "doctrees"), check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=TIMEOUT)
    return done.returncode, docs.warnings(done.stdout), done.stdout


def test_the_pages_become_a_book(tmp_path):
    """`make docs` gives no warning, and every picture is in the output."""
    status, warnings, log = build(PAGES, tmp_path)
    assert not warnings, warnings
    assert status == 0, log
    images = {path.name for path in (tmp_path / "html/_images").iterdir()}
    left = {path.name for path in PAGES.rglob("*.svg")} - images
    assert not left, "no page shows these"


def test_what_is_broken_is_noticed(tmp_path):
    """Sphinx reports each of these mistakes, in one run."""
    source = tmp_path / "Documentation"
    source.mkdir()
    shutil.copy(PAGES / "conf.py", source)
    shutil.copytree(PAGES / "sphinx-static", source / "sphinx-static")
    (source / "index.rst").write_text("\n".join((
        "Index", "=====", "", ".. toctree::", "", "   missing", "",
        "See :doc:`nowhere`, :ref:`index:Nothing`.", "", ".. image:: none.svg", "",
        "Too short", "=====", "", "=====  =====", "one    two", "a word  too wide", "=====  =====", "")),
        encoding="utf-8")
    (source / "alone.rst").write_text("Alone\n=====\n", encoding="utf-8")
    status, warnings, log = build(source, tmp_path)
    assert status != 0, log
    for what in ("nonexisting document 'missing'", "unknown document: 'nowhere'",
                 "undefined label: 'index:nothing'", "image file not readable: none.svg",
                 "Title underline too short", "Malformed table", "alone.rst: WARNING: document isn't included"):
        assert what in warnings, f"{what!r} is not in\n{log}"


@pytest.mark.parametrize("source", docs.sources(), ids=lambda path: path.name)
def test_pictures_are_those_of_their_sources(source):
    """Words, arrows and colours match; places do not count, because fonts move them slightly."""
    committed = source.with_suffix(".svg").read_text(encoding="utf-8")
    assert docs.essence(committed) == docs.essence(docs.drawn(source)), \
        "make pictures draws it again"


@pytest.mark.parametrize("source", docs.sources(), ids=lambda path: path.name)
def test_pictures_can_be_read(source):
    """A picture is readable on a dark page and on a narrow one."""
    text = source.with_suffix(".svg").read_text(encoding="utf-8")
    assert float(re.search(r'<svg width="(\d+)pt"', text)[1]) / 0.75 <= 1000
    assert re.search(r'<polygon fill="white" stroke="transparent"', text), "no white ground"
    assert min(map(float, re.findall(r'font-size="([\d.]+)"', text))) >= 9


def test_a_picture_with_other_words_or_colours_is_noticed():
    source = docs.sources()[0]
    text = source.with_suffix(".svg").read_text(encoding="utf-8")
    moved, colour = re.sub(r' y="-?\d', ' y="7', text), text.replace("#0b62a4", "#0b62a5")
    other = text.replace("src/unit", "src/units")
    assert text not in (moved, colour, other)
    assert docs.essence(moved) == docs.essence(text)
    assert docs.essence(colour) != docs.essence(text) != docs.essence(other)
