# SPDX-License-Identifier: GPL-2.0
"""Guests that run ahead: while the results of one are reported, others are booted already.

A guest takes little more than one processor and waits for a fifth of its time, so that one
guest more than there are processors finish soonest. pytest still gets the results of one
guest after the other, in order: the results of a guest before its turn are stored. Tests
that boot nothing run before the first turn, most of them on one processor, so guests run
at the same time.

# Invariants

- At most `concurrency` guests run, and the one whose turn it is is among them: they
  start in the order in which they are reported. Before the first turn it is one less.
- A guest that measures time (`alone`) runs while no other does, and no other test: QEMU's
  timers are late on processors that have more to do.
- None runs any more after `end()`.
"""

import concurrent.futures
import contextlib
import os
import queue
import threading

from vtdlab import cache as lab
from vtdlab.errors import LabError

USUAL = 3
LOOK = 1        # seconds between two looks at whether the tests have ended
OVER = object()


def concurrency():
    """Returns how many guests run at a time: GUESTS, or else three on two processors or more."""
    wanted = os.environ.get("GUESTS") or str(USUAL if lab.jobs() > 1 else 1)
    if not wanted.isdecimal() or int(wanted) < 1:
        raise LabError(f"GUESTS={wanted} is no number of guests; 1 boots one at a time.")
    return int(wanted)


class GuestPool:
    """Runs every one of `guests`: objects with `guest(result, tick)` and `alone`. If `others`, tests
    that boot nothing run before the first turn."""

    def __init__(self, guests, most=None, others=False):
        self.ended = threading.Event()
        self.changed = threading.Condition()
        self.most = most or concurrency()
        self.running, self.alone, self.others = 0, None, others
        self.waiting = []       # those that measure time, before the first turn
        self.pool = concurrent.futures.ThreadPoolExecutor(self.most)
        self.results = {guest: queue.SimpleQueue() for guest in guests}
        self.runs = {guest: self.pool.submit(self._run, guest) for guest in guests}

    def _run(self, guest):
        results = self.results[guest]
        try:
            with self._place(guest):
                guest.guest(lambda *result: results.put(result), self._tick)
        finally:
            results.put(OVER)

    @contextlib.contextmanager
    def _place(self, guest):
        """Waits until the guest may run, and lets others run afterwards."""
        with self.changed:
            if guest.alone and self.others:
                self.waiting.append(guest)
            self._wait(lambda: self.alone is None and self._may_start(guest))
            if guest.alone:
                self.waiting = [one for one in self.waiting if one is not guest]
                self.alone = guest
                self._wait(lambda: not self.running)
            self.running += 1
        try:
            yield
        finally:
            with self.changed:
                self.running -= 1
                self.alone = None if self.alone is guest else self.alone
                self.changed.notify_all()

    def _may_start(self, guest):
        if self.others:
            return not guest.alone and self.running < self.most - 1
        return not self.waiting or guest is self.waiting[0]

    def _wait(self, condition):
        while not self.changed.wait_for(condition, LOOK):
            self._tick()

    def _tick(self):
        if self.ended.is_set():
            raise LabError("The tests were interrupted.")

    def begin(self):
        """Lets as many guests run as may: the tests that boot nothing are over."""
        with self.changed:
            self.others = False
            self.changed.notify_all()

    def report(self, guest, result):
        """Passes the results of `guest` to `result` as they arrive; raises what it raised."""
        self.begin()
        while (one := self.results[guest].get()) is not OVER:
            result(*one)
        self.runs[guest].result()

    def end(self):
        """Stops all guests, and starts no more."""
        self.ended.set()
        self.pool.shutdown(cancel_futures=True)
