# SPDX-License-Identifier: GPL-2.0
"""What a guest may request of the host about remapping units.

`host queue BASE VALUE` makes the unit whose registers are at BASE, in hexadecimal, treat its
invalidation queue as VALUE says (Documentation/qemu-units.rst), or `late=MS`: it makes a step
every MS milliseconds. `host queue-error BASE VALUE` does the same for one error of its queue, and
`host ite-source BASE on` or `off` says whether the unit names a device that does not answer.
"""

import asyncio
import contextlib

from qemu.qmp import QMPError

from vtdlab.build import preload
from vtdlab.guest import acpi

UNIT_FOLDERS = ("/machine/peripheral", "/machine/peripheral-anon")


def _properties(words):
    """Returns the properties of a device among QEMU's arguments."""
    return dict(pair.split("=", 1) for pair in words.split(",")[1:] if "=" in pair)


async def _unit(guest, base):
    """Returns QEMU's path of the unit whose registers are at `base`; raises ValueError."""
    for words in guest.machine.devices:
        found = _properties(words) if words.startswith(preload.DEVICE + ",") else {}
        if found and int(found["base"], 0) == base:
            return f"{UNIT_FOLDERS[0]}/{found['id']}"
    if base == acpi.UNIT_BASE:
        for folder in UNIT_FOLDERS:
            for child in await guest.qmp.execute("qom-list", {"path": folder}):
                if child["type"] == "child<intel-iommu>":
                    return f"{folder}/{child['name']}"
    raise ValueError(f"no unit has its registers at {base:#x}")


async def _set(guest, path, name, value):
    await guest.qmp.execute("qom-set", {"path": path, "property": name, "value": value})


async def _make_steps(guest, path, seconds):
    """Makes a step again and again, until the guest ends or the task is cancelled."""
    with contextlib.suppress(QMPError, OSError):
        while True:
            await asyncio.sleep(seconds)
            await _set(guest, path, "queue", "step")


async def _queue(guest, base, value):
    path = await _unit(guest, int(base, 16))
    steps = vars(guest).setdefault("steps", {})     # the tasks, by path
    if path in steps:
        steps.pop(path).cancel()
    milliseconds = value.removeprefix("late=")
    is_late = milliseconds != value
    await _set(guest, path, "queue", "held" if is_late else value)
    if is_late:
        steps[path] = asyncio.create_task(_make_steps(guest, path, int(milliseconds) / 1000))


async def _queue_error(guest, base, value):
    await _set(guest, await _unit(guest, int(base, 16)), "queue-error", value)


async def _ite_source(guest, base, value):
    await _set(guest, await _unit(guest, int(base, 16)), "ite-source", value)


SERVICES = {"queue": _queue, "queue-error": _queue_error, "ite-source": _ite_source}
