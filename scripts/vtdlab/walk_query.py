# SPDX-License-Identifier: GPL-2.0
"""Requests the walk of a requester's address from the running vtd (vtd/walk in debugfs)."""

import errno
from pathlib import Path

from vtdlab.errors import LabError

FILE = Path("/sys/kernel/debug/vtd/walk")
TRIES = 5


def ask(requester, address, file=FILE):
    """Returns the walk that vtd shows: lines, the last one a sentence."""
    question = f"{requester} {address}"
    try:
        for _ in range(TRIES):
            file.write_text(question, encoding="ascii")
            answer = file.read_text(encoding="utf-8").splitlines()
            # Another request may come between; the answer names its request.
            if answer and _same(answer[0], question):
                return answer
    except (OSError, UnicodeEncodeError) as err:
        if getattr(err, "errno", errno.EINVAL) == errno.EINVAL:
            raise LabError(f"{question!r} is no requester and address, such as "
                           "'0000:00:05.0 0xffffe000'.") from err
        raise LabError(f"{file} cannot be used ({err.strerror}): that takes root, vtd loaded, "
                       "and debugfs mounted.") from err
    raise LabError(f"Other programs use {file} all the time; try again.")


def _same(answered, requested):
    try:
        (one, first), (other, second) = answered.split(), requested.split()
        return one.endswith(other.lower()) and int(first, 16) == int(second, 16)
    except ValueError:
        return False
