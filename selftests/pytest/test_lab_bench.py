# SPDX-License-Identifier: GPL-2.0
"""The parts of `make bench` that boot nothing."""

from xml.dom import minidom

import argparse
import re

import pytest

from vtdlab import bench, benchplot, benchprofile, benchtable, benchtime
from vtdlab import cache as lab
from vtdlab.benchprofile import Symbol, by_function
from vtdlab.benchtable import Row


def _parsed(*argv):
    """What `make bench` makes of its variables; the sentence where it refuses them."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    bench.add_arguments(parser)
    try:
        return parser.parse_args(argv)
    except argparse.ArgumentError as err:
        return str(err)


def test_the_rows_are_those_of_the_bench_module():
    """A name that only one side knows would boot a guest for nothing."""
    source = (lab.checkout() / "bench/work.rs").read_text(encoding="utf-8")
    assert tuple(re.findall(r'\bwork\("([^"]+)"', source)) == benchprofile.WORKS
    for row in benchprofile.ROWS:
        assert _parsed("--profile", row).profile == row


@pytest.mark.parametrize("argv, words", [
    (("--profile", "nonsense"), "there is no row 'nonsense'"),
    (("--profile", ""), "there is no row ''"),
    (("--profile", "4k map"), "did you mean 4K map"),
    (("--rounds", "-1"), "'-1' is no number of rounds"), (("--rounds", "0"), "'0' is no number"),
    (("--rounds", "many"), "'many' is no number"), (("--section", "all"), "invalid choice"),
])
def test_what_cannot_be_measured_is_said_at_once(argv, words):
    assert words in _parsed(*argv)


@pytest.mark.parametrize("row, met", [
    (Row("s", "r", "u", 100, 50, goal=0.5), True),
    (Row("s", "r", "u", 100, 51, goal=0.5), False),
    (Row("s", "r", "u", 100, 99, goal=1, more=True), False),
    (Row("s", "r", "u", 100, 100, goal=1, more=True), True),
    (Row("s", "r", "u", 0, 1, goal=1), False),
    (Row("s", "r", "u", 0, 0, goal=1), True),
    (Row("s", "r", "u", 1, 5, most=4), False),
    (Row("s", "r", "u", 1, 4, most=4), True),
    (Row("s", "r", "u", 1, 400), True),
])
def test_a_goal_is_met_up_to_its_bound(row, met):
    assert row.met is met


def test_a_missed_goal_is_said():
    assert "0.50 MISSED" in benchtable.text([Row("s", "r", "u", 10, 6, goal=0.5)])


def test_rounds_are_compared_one_by_one():
    samples = benchtime.Samples()
    for theirs, ours in ((10, 8), (100, 90), (2, 1)):
        samples.add("r", "intree", theirs)
        samples.add("r", "vtd", ours)
    samples.add("one has it", "vtd", 1)
    row, = samples.table("s", "u", goal=0.85)
    assert (row.in_tree, row.vtd, row.ratio, row.note) == (10, 8, 0.8, "0.50..0.90")
    assert row.met


def test_a_round_of_nothing_has_no_ratio():
    samples = benchtime.Samples()
    for theirs, ours in ((0, 1), (0, 0), (4, 3)):
        samples.add("r", "intree", theirs)
        samples.add("r", "vtd", ours)
    row, = samples.table("s", "u")
    assert (row.in_tree, row.vtd, row.ratio) == (0, 1, None)


def test_a_new_measurement_replaces_its_own_rows_only(tmp_path):
    path = tmp_path / "results.csv"
    benchtable.write(path, [Row("a", "old", "x", 2, 1), Row("a", "other unit", "y", 2, 1),
                            Row("b", "other section", "x", 0, 1)])
    benchtable.write(path, [Row("a", "new", "x", 4, 1)])
    assert [(r["row"], r["ratio"]) for r in benchtable.read(path)] == [
        ("other unit", "0.500"), ("other section", ""), ("new", "0.250")]


def test_counts_go_to_the_last_symbol_before_them():
    symbols = [Symbol(0x200, "second", "vtd"), Symbol(0x100, "first")]
    found = by_function({0x100: 3, 0x1ff: 4, 0x200: 9, 0x50: 1}, symbols)
    assert [(f.symbol.name, f.total) for f in found] == [
        ("second", 9), ("first", 7), ("unknown", 1)]
    assert found[1].places == {0: 3, 0xff: 4}


def test_a_plot_is_well_formed_and_shows_the_figures():
    rows = [{"row": "a < b", "in_tree": "10", "vtd": "4", "ratio": "0.400"},
            {"row": "nothing", "in_tree": "0", "vtd": "0", "ratio": ""}]
    texts = [node.firstChild.data for node in
             minidom.parseString(benchplot.svg("title", rows)).getElementsByTagName("text")]
    assert {"title", "a < b", "10", "4", "0.40", "-"} <= set(texts)
