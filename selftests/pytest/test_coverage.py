# SPDX-License-Identifier: GPL-2.0
"""The host tests run enough of vtd_core; too little is a failure."""

import pytest

from vtdlab import cache as lab
from vtdlab.commands import coverage


def test_core_is_covered():
    """They run at least coverage.LEAST percent; out/check/coverage.txt names the rest."""
    found = coverage.measure()
    written = {name for path in (lab.checkout() / coverage.CORE).rglob("*.rs")
               if coverage.is_counted(name := str(path.relative_to(lab.checkout())))
               and "fn " in path.read_text(encoding="utf-8")}
    assert written
    models = (lab.checkout() / coverage.CORE / "tests/concurrency/src/lib.rs").read_text("utf-8")
    for room in coverage.UNDER_LOOM:
        assert f'#[path = "../../../{room}"]' in models
    # A file that is linked into no test is not counted at all.
    assert written - set(found) <= set(), f"not counted: {sorted(written - set(found))}"
    out = lab.checkout() / "out/check/coverage.txt"
    out.parent.mkdir(parents=True, exist_ok=True)
    with open(out, "w", encoding="utf-8") as report:
        coverage.judge(found, report)


def _lcov(covered, of):
    lines = [f"DA:{number},{int(number <= covered)}" for number in range(1, of + 1)]
    return "\n".join([f"SF:/top/{coverage.CORE}/one.rs", *lines,
                      f"SF:/top/{coverage.CORE}/tests/law.rs", "DA:1,0"])


@pytest.fixture(name="top")
def fixture_top(tmp_path):
    """Returns a checkout whose core has one file: a hundred lines, then tests."""
    source = tmp_path / coverage.CORE / "one.rs"
    source.parent.mkdir(parents=True)
    source.write_text("line\n" * 100 + "#[cfg(test)]\n" + "test\n" * 50, encoding="utf-8")
    return tmp_path


def _judge(top, covered, capsys):
    coverage.judge(coverage.counts(_lcov(covered, 150).replace("/top", str(top)), top))
    return capsys.readouterr().out


def test_enough(top, capsys):
    """Lines of tests do not count, and lines that are not run are named."""
    said = _judge(top, 95, capsys)
    assert "one.rs: 5 of 100 lines not run: 96-100" in said
    assert "95.00 % of 100 lines in 1 files" in said


def test_too_little(top, capsys):
    """One line less is a failure."""
    with pytest.raises(SystemExit, match="less than 95"):
        _judge(top, 94, capsys)


def test_nothing():
    """Tools that count nothing prove nothing."""
    with pytest.raises(SystemExit, match="nothing was counted"):
        coverage.judge({})
