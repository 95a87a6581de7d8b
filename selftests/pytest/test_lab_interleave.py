# SPDX-License-Identifier: GPL-2.0
"""Guests that take turns (vtdlab/guest/interleave.py), with fake ones."""

import asyncio

import pytest

from vtdlab.errors import LabError
from vtdlab.guest import interleave

TIMESLICE = 0.01
PATIENCE = 20


class Pretended:
    """A guest that works for `work` ticks of its own clock, then ends.

    In addition `life` has what it does: an exception to raise, or "meets" for one that waits
    for the others half-way.
    """

    every = []

    def __init__(self, work, life, _out, _on_line, services, _tick):
        self.work, self.life, self.services = work, life, services
        self.qmp, self.connected = self, asyncio.Event()
        self.running, self.ended, self.at_once, self.waited_for = True, False, [], None
        Pretended.every.append(self)

    async def execute(self, command):
        """Like QMP."""
        self.running = {"stop": False, "cont": True}[command]

    async def run(self):
        """Runs the guest to its end."""
        self.connected.set()
        await asyncio.sleep(2 * TIMESLICE)
        try:
            for step in range(self.work):
                while not self.running:
                    await asyncio.sleep(TIMESLICE / 10)
                self.at_once.append(sum(one.running and not one.ended for one in self.every))
                if isinstance(self.life, Exception):
                    raise self.life
                if self.life == "meets" and step == self.work // 2:
                    self.waited_for = await self.services["together"](self)
                await asyncio.sleep(TIMESLICE / 4)
        finally:
            self.ended = True
        return self.work


@pytest.fixture(name="boot")
def fixture_boot(monkeypatch):
    """Boots fake guests: (work, life) each."""
    Pretended.every = []
    monkeypatch.setattr(interleave, "Guest", Pretended)
    monkeypatch.setattr(interleave, "TIMESLICE", TIMESLICE)

    def boot(*lives):
        async def all_of_them():
            described = [(work, life, None, None) for work, life in lives]
            return await asyncio.wait_for(interleave.Interleaver(described).run(), PATIENCE)
        return asyncio.run(all_of_them())
    return boot


def test_one_runs_at_a_time(boot):
    """They take turns until one has ended; the other then continues alone."""
    assert boot((60, ""), (90, "")) == [60, 90]
    first, second = Pretended.every
    assert set(first.at_once) == {1}
    assert set(second.at_once) == {1}


def test_the_guests_meet(boot):
    """The first to arrive waits, and both continue."""
    assert boot((20, "meets"), (60, "meets")) == [20, 60]
    assert [one.waited_for for one in Pretended.every] == ["", ""]


def test_the_last_guest_does_not_wait(boot):
    """A guest does not wait for one that has ended before the meeting point."""
    assert boot((60, "meets"), (10, "")) == [60, 10]
    assert Pretended.every[0].waited_for == "alone"


def test_an_error_ends_all(boot):
    """An error of one guest is the error of the whole run."""
    with pytest.raises(LabError, match="no kernel"):
        boot((10_000, ""), (10, LabError("There is no kernel.")))
    assert all(one.ended for one in Pretended.every)
