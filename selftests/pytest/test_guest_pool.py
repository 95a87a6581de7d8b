# SPDX-License-Identifier: GPL-2.0
"""Guests that run before their results are reported (guest_pool.py)."""

import threading
import time

import pytest

import guest_pool
from vtdlab.errors import LabError

PATIENCE = 20


class Guest:
    """Reports `words` once `before` has happened; then raises `error`."""

    def __init__(self, words=(), before=None, error=None, alone=False):
        self.words, self.before, self.error, self.alone = words, before, error, alone
        self.running, self.stopped = threading.Event(), None

    def guest(self, result, tick):
        """A guest for the pool."""
        self.running.set()
        try:
            until = time.monotonic() + PATIENCE
            while self.before and not self.before.is_set() and time.monotonic() < until:
                tick()
                time.sleep(0.01)
        except LabError as err:
            self.stopped = str(err)
            raise
        for word in self.words:
            result(word)
        if self.error:
            raise self.error


def _results(running, guest):
    said = []
    running.report(guest, said.append)
    return said


def test_each_is_reported_in_its_turn():
    """Results stay in order, even if a later guest ends first."""
    second = Guest(["c"])
    first = Guest(["a", "b"], before=second.running)
    running = guest_pool.GuestPool([first, second], 2)
    assert [_results(running, guest) for guest in (first, second)] == [["a", "b"], ["c"]]
    running.end()


def test_the_exception_of_a_guest_is_raised_in_its_turn():
    """An error is raised after the guest's results, and not during another guest's turn."""
    failing = Guest(["a"], error=LabError("It died."))
    other = Guest(["b"], before=failing.running)
    running = guest_pool.GuestPool([other, failing], 2)
    assert _results(running, other) == ["b"]
    said = []
    with pytest.raises(LabError, match="It died"):
        running.report(failing, said.append)
    assert said == ["a"]
    running.end()


def test_no_more_guests_run_than_requested():
    """The third guest waits until one of two has ended."""
    go = threading.Event()
    guests = [Guest(before=go), Guest(before=go), Guest()]
    running = guest_pool.GuestPool(guests, 2)
    assert all(guest.running.wait(PATIENCE) for guest in guests[:2])
    assert not guests[2].running.wait(0.2)
    go.set()
    assert guests[2].running.wait(PATIENCE)
    running.end()


def test_a_guest_that_measures_time_runs_alone():
    """It waits until the others have ended, and the next one waits for it."""
    first, over = threading.Event(), threading.Event()
    guests = [Guest(before=first), Guest(before=over, alone=True), Guest()]
    running = guest_pool.GuestPool(guests, 3)
    assert guests[0].running.wait(PATIENCE)
    assert not guests[1].running.wait(0.2)
    first.set()
    assert guests[1].running.wait(PATIENCE)
    assert not guests[2].running.wait(0.2)
    over.set()
    assert guests[2].running.wait(PATIENCE)
    running.end()


def test_before_the_first_turn_one_guest_less_runs_and_none_that_measures_time():
    """Tests that boot nothing run then, and take the place of a guest."""
    go = threading.Event()
    guests = [Guest(alone=True), Guest(before=go), Guest(before=go), Guest()]
    running = guest_pool.GuestPool(guests, 3, others=True)
    assert guests[1].running.wait(PATIENCE) and guests[2].running.wait(PATIENCE)
    assert not guests[0].running.wait(0.2) and not guests[3].running.is_set()
    running.begin()
    assert not guests[0].running.wait(0.2)
    go.set()
    assert all(guest.running.wait(PATIENCE) for guest in guests)
    running.end()


def test_one_guest_at_a_time_waits_for_its_turn():
    """With GUESTS=1, nothing else runs while a guest does."""
    guest = Guest(["a"])
    running = guest_pool.GuestPool([guest], 1, others=True)
    assert not guest.running.wait(0.2)
    assert _results(running, guest) == ["a"]
    running.end()


def test_the_end_stops_running_guests_and_starts_none():
    """Ends the pool as an interrupt does."""
    guests = [Guest(before=threading.Event()), Guest()]
    running = guest_pool.GuestPool(guests, 1)
    assert guests[0].running.wait(PATIENCE)
    running.end()
    assert guests[0].stopped == "The tests were interrupted."
    assert not guests[1].running.is_set()


def test_what_replaces_parts_of_the_laboratory_runs_before_any_guest(request):
    """A guest would otherwise meet what a test put in place of a part of it."""
    uses = [getattr(item, "fixturenames", ()) for item in request.session.items]
    for fixture in ("monkeypatch", "capsys"):
        last = max((at for at, names in enumerate(uses) if fixture in names), default=0)
        assert all({"monkeypatch", "capsys", "capfd"} & {*names} for names in uses[:last])


@pytest.mark.parametrize("wanted", ["0", "-1", "two", "1.5"])
def test_an_invalid_number_of_guests_is_named(monkeypatch, wanted):
    """A valid number is accepted."""
    monkeypatch.setenv("GUESTS", "3")
    assert guest_pool.concurrency() == 3
    monkeypatch.setenv("GUESTS", wanted)
    with pytest.raises(LabError, match=f"GUESTS={wanted} is no number"):
        guest_pool.concurrency()
