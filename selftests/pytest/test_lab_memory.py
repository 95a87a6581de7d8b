# SPDX-License-Identifier: GPL-2.0
"""How the guests count pages (selftests/lib/memory.sh), with invented counts."""

import subprocess

import pytest

from vtdlab.cache import checkout

# Replaces /proc/vmstat: a count for each time that it is read; the last one stays.
SCRIPT = """. {memory}; DOMAINS={folder}/domains PATIENCE=1
counted() {{ :; }}
sleep() {{ [ ! -e {folder}/later ] || mv {folder}/later {folder}/domains; }}
iommu_pages() {{
	head -n 1 {folder}/counts
	[ "$(wc -l < {folder}/counts)" = 1 ] || sed -i 1d {folder}/counts
}}
"""


@pytest.fixture(name="guest")
def _guest(tmp_path):
    """Runs shell code with these domains and counts; returns status and output."""
    def run(shell, domains, counts, later=None):
        (tmp_path / "domains").write_text("".join(
            f"domain=#{at} allocated-for=x tables={tables} leaves-2m=0\n"
            for at, tables in enumerate(domains)))
        if later is not None:
            (tmp_path / "later").write_text("".join(f"domain=#{at} tables={tables}\n"
                                                    for at, tables in enumerate(later)))
        (tmp_path / "counts").write_text("".join(f"{count}\n" for count in counts))
        script = SCRIPT.format(memory=checkout() / "selftests/lib/memory.sh", folder=tmp_path)
        done = subprocess.run(["sh", "-c", script + shell], check=False, text=True, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout.strip()
    return run


BEFORE = "6 pages in no domain, 2 domains"


def test_what_is_in_a_domain_is_owned(guest):
    assert guest("unowned", [1, 4], [11]) == (0, BEFORE)
    assert guest("unowned; rm $DOMAINS; unowned", [1], [5])[1].splitlines() == [
        "4 pages in no domain, 1 domains", "5 pages in no domain, 0 domains"]


@pytest.mark.parametrize("domains, count, passes", [
    ([1, 4], 11, True),         # nothing has changed
    ([1, 7], 14, True),         # a domain that stays has three tables more
    ([5, 4], 15, True),         # a domain of another device has two more
    ([1, 4], 12, False),        # a page that is in no domain
    ([1, 4], 10, False),        # one page too few
    ([1, 7], 13, False),        # a page of a domain was counted twice
    ([1, 4, 1], 12, False),     # a domain that should have been freed
    ([1, "?"], 11, False),      # a domain whose tables cannot be counted
])
def test_only_leaked_pages_count(guest, domains, count, passes):
    status, said = guest(f"none_leaked '{BEFORE}'", domains, [count])
    assert (status == 0) is passes
    assert passes or said.startswith(f"before: {BEFORE}; after: ")


def test_an_unknown_count_is_not_compared(guest):
    before = guest("unowned", [1, "?"], [11])[1]
    assert guest(f"none_leaked '{before}'", [1, "?"], [999])[0] == 1


def test_counts_that_lag_are_waited_for(guest):
    """The sums of /proc/vmstat lag behind; a domain may change between two readings."""
    assert guest(f"none_leaked '{BEFORE}'", [1, 7], [11, 12, 13, 14])[0] == 0
    assert guest("unowned", [1, 7], [11, 13, 14, 14]) == (0, "6 pages in no domain, 2 domains")
    assert guest(f"none_leaked '{BEFORE}'", [1, 9], [14], later=[1, 7])[0] == 0
    assert guest(f"none_leaked '{BEFORE}'", [1, 7], [*range(11, 14)])[0] == 1
