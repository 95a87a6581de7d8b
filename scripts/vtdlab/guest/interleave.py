# SPDX-License-Identifier: GPL-2.0
"""Guests that take turns: one runs for a moment while the others are stopped.

The clock of a stopped guest is stopped, too. So other load of this machine affects all
guests alike, moment by moment, while whole guests one after the other would differ by
the load of the hour. `host together` in a guest waits until all of them have reached it.
"""

import asyncio
import contextlib
import itertools

from qemu.qmp import QMPError

from vtdlab.guest.qemu import Guest

TIMESLICE = 0.2    # seconds


class Interleaver:
    """Runs some guests; `await run()` once.

    Each is given as Guest takes it: (machine, out, timeout, on_line).
    """

    def __init__(self, described, tick=None):
        services = {"together": self._together}
        self.guests = [Guest(*one, services, tick) for one in described]
        self.meeting = asyncio.Barrier(len(self.guests))

    async def run(self):
        """Returns the outcomes, in the guests' order; if one cannot run, ends all."""
        try:
            async with asyncio.TaskGroup() as group:
                runs = [group.create_task(guest.run()) for guest in self.guests]
                turns = group.create_task(self._take_turns(runs))
                await asyncio.wait(runs)
                turns.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [run.result() for run in runs]

    async def _together(self, _guest):
        try:
            await self.meeting.wait()
        except asyncio.BrokenBarrierError:
            return "alone"
        return ""

    async def _take_turns(self, runs):
        for guest in self.guests:
            await guest.connected.wait()
        for other in self.guests[1:]:
            await _command(other, "stop")
        for now, following in itertools.pairwise(itertools.cycle(self.guests)):
            await asyncio.wait(runs, timeout=TIMESLICE, return_when=asyncio.FIRST_COMPLETED)
            if any(run.done() for run in runs):
                break
            await _command(now, "stop")
            await _command(following, "cont")
        # After the first guest has ended, nothing is compared any more.
        await self.meeting.abort()
        for guest in self.guests:
            await _command(guest, "cont")


async def _command(guest, command):
    # A guest that has just ended does not answer.
    with contextlib.suppress(QMPError):
        await guest.qmp.execute(command)


def boot(described, tick=None):
    """Runs them all to their ends, from ordinary code."""
    async def all_of_them():
        return await Interleaver(described, tick).run()
    return asyncio.run(all_of_them())
