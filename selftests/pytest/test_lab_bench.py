# SPDX-License-Identifier: GPL-2.0
"""The parts of `make bench` that boot nothing."""

from xml.dom import minidom

import argparse
import re

import pytest

from vtdlab import cache as lab
from vtdlab.bench import compared, drawing, figures, latency, profiles, timed
from vtdlab.bench.figures import Row
from vtdlab.bench.profiles import Symbol, by_function
from vtdlab.commands import bench
from vtdlab.errors import LabError
from vtdlab.guest.channel import Records


def _parsed(*argv):
    """Returns the arguments of `make bench` for these variables, or its refusal."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    bench.add_arguments(parser)
    try:
        return parser.parse_args(argv)
    except argparse.ArgumentError as err:
        return str(err)


def test_the_rows_are_those_of_the_bench_module():
    """Host and guest have the same names: otherwise a guest would boot without effect."""
    source = (lab.checkout() / "bench/workload.rs").read_text(encoding="utf-8")
    assert tuple(re.findall(r'\bworkload\("([^"]+)"', source)) == profiles.WORKS
    source = (lab.checkout() / "bench/dma.rs").read_text(encoding="utf-8")
    assert tuple(re.findall(r'\("([^"]+)", Memory::', source)) == profiles.DMA
    for row in profiles.ROWS:
        assert _parsed("--profile", row).profile == row


@pytest.mark.parametrize("argv, words", [
    (("--profile", "nonsense"), "there is no row 'nonsense'"),
    (("--profile", ""), "there is no row ''"),
    (("--profile", "4k map"), "did you mean 4K map"),
    (("--rounds", "-1"), "'-1' is no number of rounds"), (("--rounds", "0"), "'0' is no number"),
    (("--rounds", "many"), "'many' is no number"), (("--section", "all"), "invalid choice"),
])
def test_a_wrong_argument_is_named_before_any_measurement(argv, words):
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


def test_a_missed_goal_is_reported():
    assert "0.50 MISSED" in figures.text([Row("s", "r", "u", 10, 6, goal=0.5)])


def test_rounds_are_compared_one_by_one():
    samples = timed.Samples()
    for theirs, ours in ((10, 8), (100, 90), (2, 1)):
        samples.add("r", "intree", theirs)
        samples.add("r", "vtd", ours)
    samples.add("one has it", "vtd", 1)
    row, = samples.table("s", "u", goal=0.85)
    assert (row.in_tree, row.vtd, row.ratio, row.note) == (10, 8, 0.8, "0.50..0.90")
    assert row.spread == (0.5, 0.9)
    assert row.met


def test_a_round_of_nothing_has_no_ratio():
    samples = timed.Samples()
    for theirs, ours in ((0, 1), (0, 0), (4, 3)):
        samples.add("r", "intree", theirs)
        samples.add("r", "vtd", ours)
    row, = samples.table("s", "u")
    assert (row.in_tree, row.vtd, row.ratio) == (0, 1, None)


class _FourGuests:
    """Guests that all need as long, but in held mode half as long again for an unmap."""

    def modes(self, measure, hows):
        said = {name: Records() for name in hows}
        for name, (driver, mode, *_) in hows.items():
            unmap = 3 if mode == "held" else 2
            said[name].add(f'dma-time threads=1 work="1 pages" map=1 unmap={unmap} descriptors=20 '
                           f"unmaps={10 if driver == 'vtd' else 0} freed=0")
        return said


def test_held_is_compared_with_lazy_of_the_same_round(tmp_path):
    said = compared.measure(_FourGuests(), tmp_path, 2).splitlines()
    assert said[2].split()[-6:] == ["2", "3", "1.50", "1.50", "1.50", "MISSED"]
    assert "MISSED" not in said[1]
    assert (tmp_path / compared.TABLE).read_text().splitlines()[3] == \
        '"1 pages, 1 thread: descriptors of an unmap",,2,2,2,,,'


def _counted(row, vtd):
    return {"section": "dma-api", "row": row, "unit": latency.UNIT, "vtd": vtd}


def test_lines_meet_where_an_unmap_takes_as_long(tmp_path):
    rows = [_counted("strict 1 pages unmap", "600"), _counted("held 1 pages of 1024 unmap", "854"),
            _counted("held 1 pages unmap", "590"), _counted("lazy 1 pages unmap", "500")]
    assert latency.draw(rows[:3], tmp_path) == []
    strict, other, same, _ = latency.lines(rows)
    assert latency.crossing(strict, other) == pytest.approx(255)
    assert latency.crossing(strict, same) is None
    path, = latency.draw(rows, tmp_path)
    words = [node.firstChild.data
             for node in minidom.parse(str(path)).getElementsByTagName("text")]
    assert "meets strict at 255 ns" in words


def test_a_new_measurement_replaces_its_own_rows_only(tmp_path):
    path = tmp_path / "results.csv"
    figures.write(path, [Row("a", "old", "x", 2, 1), Row("a", "other unit", "y", 2, 1),
                            Row("b", "other section", "x", 0, 1)])
    figures.write(path, [Row("a", "new", "x", 4, 1)])
    assert [(r["row"], r["ratio"]) for r in figures.read(path)] == [
        ("other unit", "0.500"), ("other section", ""), ("new", "0.250")]


@pytest.mark.parametrize("head, line, missing", [
    ("section,row,unit,in_tree,vtd,ratio", "s,r,u,1,1,1.000", "better, of, least, most"),
    ("section,row,unit,in_tree,vtd,ratio,better,of,least,most", "s,r,u,1,1,1.000,,,,", "better, of"),
    ("section,row,unit,in_tree,vtd,ratio,better,of,least,most", "s,r,u,1,1,1.000,less", "of, least"),
])
def test_results_of_an_older_bench_are_refused_with_a_sentence(tmp_path, head, line, missing):
    """An old file is refused, whether it is drawn or added to."""
    path = tmp_path / "results.csv"
    path.write_text(f"{head}\n{line}\n")
    for use in (lambda: figures.read(path), lambda: figures.write(path, [Row("a", "r", "u", 1, 1)])):
        with pytest.raises(LabError, match=f"rows without {missing}.*; remove it"):
            use()


def test_counts_go_to_the_last_symbol_before_them():
    symbols = [Symbol(0x200, "second", "vtd"), Symbol(0x100, "first")]
    found = by_function({0x100: 3, 0x1ff: 4, 0x200: 9, 0x50: 1}, symbols)
    assert [(f.symbol.name, f.total) for f in found] == [
        ("second", 9), ("first", 7), ("unknown", 1)]
    assert found[1].places == {0: 3, 0xff: 4}


def _row(row, in_tree, vtd, ratio, better="less", of="figures", least="", most=""):
    return {"section": "s", "row": row, "unit": "u", "in_tree": in_tree, "vtd": vtd, "ratio": ratio,
            "better": better, "of": of, "least": least, "most": most}


def _drawn(rows):
    """Returns (all texts, the bars as (x, width, is framed)) of a picture."""
    picture = minidom.parseString(drawing.svg("section", "unit", rows))
    bars = [(float(node.getAttribute("x")), float(node.getAttribute("width")),
             node.hasAttribute("stroke"))
            for node in picture.getElementsByTagName("rect") if node.hasAttribute("x")]
    return [node.firstChild.data for node in picture.getElementsByTagName("text")], bars


def test_a_plot_is_well_formed_and_shows_the_figures():
    texts, bars = _drawn([_row("a < b", "10", "4", "0.400"), _row("nothing", "0", "0", "")])
    assert {"section: unit, lower is better", "a < b", "10", "4", "0.40", "-"} <= set(texts)
    assert len(bars) == 1


@pytest.mark.parametrize("better", ["less", "more"])
def test_bar_and_number_are_one_statistic(better):
    """The bar extends from 1 to the printed ratio, whatever the quotient of the figures is."""
    rows = [_row(name, "100", figure, ratio, better, "rounds") for name, figure, ratio in
            (("below", "150", "0.500"), ("same", "50", "1.000"), ("above", "20", "2.000"))]
    texts, bars = _drawn(rows)
    scale = drawing.Scale(rows)
    for row, (x, width, _) in zip(rows, bars, strict=True):
        ends = sorted((scale.at(1), scale.at(float(row["ratio"]))))
        assert (x, x + width) == pytest.approx(ends, abs=0.2)
    assert scale.at(2) - scale.at(1) == pytest.approx(scale.at(1) - scale.at(0.5))
    worse = texts.index("worse")
    assert texts[worse - 1] == ("2.00" if better == "less" else "0.50") and texts.count("worse") == 1
    assert [framed for *_, framed in bars] == [better == "more", False, better == "less"]
    assert f"section: unit, {'lower' if better == 'less' else 'higher'} is better" in texts
    assert any("median of the rounds' ratios" in text for text in texts)


@pytest.mark.parametrize("ratio, least, most, better, said", [
    ("1.100", "1.020", "1.300", "less", "worse"), ("1.100", "0.900", "1.300", "less", "undecided"),
    ("0.900", "0.800", "0.950", "less", "better"), ("0.900", "0.800", "0.950", "more", "worse"),
    ("1.004", "", "", "less", ""), ("1.006", "", "", "less", "worse"), ("", "", "", "less", ""),
])
def test_a_loss_is_called_a_loss(ratio, least, most, better, said):
    """A ratio is undecided if the rounds do not show a difference."""
    row = _row("r", "1", "1", ratio, better, "rounds", least, most)
    assert drawing.verdict(row) == said
    assert (said in _drawn([row])[0]) == (said in ("worse", "undecided"))


def test_the_spread_is_drawn_or_marked_unknown():
    row = _row("r", "1", "1", "0.900", of="rounds", least="0.500", most="4.000")
    assert any("from the least to the most" in text for text in _drawn([row])[0])
    scale = drawing.Scale([row])
    assert f"M{scale.at(0.5):.1f} " in drawing.svg("s", "u", [row])
    assert scale.at(4) == drawing.BARS_X + drawing.BARS
    assert any("was not recorded" in text for text in _drawn([row | {"least": "", "most": ""}])[0])
    assert any("Counted, not timed" in text for text in _drawn([_row("r", "1", "1", "1.000")])[0])


def test_the_plots_of_the_documentation_are_of_its_figures(tmp_path):
    folder = lab.checkout() / "Documentation/benchmarks"
    rows = figures.read(folder / "results.csv")
    paths = drawing.pictures(rows, tmp_path) + latency.draw(rows, tmp_path)
    drawn = {path.name: path.read_text() for path in paths}
    assert drawn == {path.name: path.read_text() for path in folder.glob("*.svg")}
    for row in rows:
        if row["of"] == "figures" and row["ratio"] and float(row["in_tree"]) >= 100:
            quotient = float(row["vtd"]) / float(row["in_tree"])
            assert quotient == pytest.approx(float(row["ratio"]), abs=0.02), row


def test_a_table_names_its_ratio(tmp_path):
    path = tmp_path / "results.csv"
    figures.write(path, [Row("s", "timed", "u", 10, 20, more=True, paired=1.5,
                                spread=(1.25, 1.75)), Row("s", "counted", "u", 10, 20)])
    assert [(r["better"], r["of"], r["ratio"], r["least"], r["most"])
            for r in figures.read(path)] == [("more", "rounds", "1.500", "1.250", "1.750"),
                                                ("less", "figures", "2.000", "", "")]
