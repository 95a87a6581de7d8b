# SPDX-License-Identifier: GPL-2.0
"""The cache folder: what is built outside the checkout, keyed by its inputs.

An entry is a folder whose name ends in a key. It is complete when it has the file
`.complete`, which is written last and moved into place in one step, so that an
interrupted build is never taken for complete. The process that builds an entry holds
its lock; locks are flocks, which end with their process.

Lock order: one lock per entry, taken in the order root, source, kernel, module. No
process takes an earlier one while it holds a later one.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import threading
import time
from pathlib import Path

from vtdlab.errors import LabError

MARK = ".vtd-cache"
COMPLETE = ".complete"
KEEP = 8
KEEP_SECONDS = 3600


def default_path(env=os.environ):
    """Returns the cache folder that the environment names; scripts/lib.sh agrees."""
    if env.get("VTD_CACHE"):
        return Path(env["VTD_CACHE"]).absolute()
    base = env.get("XDG_CACHE_HOME") or os.path.join(env.get("HOME", "/"), ".cache")
    return Path(base).absolute() / "vtd"


def key(*parts):
    """Returns twelve hexadecimal digits that change when any part changes.

    Parts are strings or bytes; their boundaries count, so ("ab", "c") and
    ("a", "bc") differ.
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:12]


class Cache:
    """The cache folder and the entries in it."""

    def __init__(self, path=None):
        self.path = Path(path) if path else default_path()
        try:
            (self.path / "lock").mkdir(parents=True, exist_ok=True)
            (self.path / MARK).touch()
        except OSError as err:
            raise LabError(
                f"The cache folder {self.path} cannot be written ({err.strerror}); "
                "set VTD_CACHE to a folder that can."
            ) from err

    def entry(self, kind, name):
        """Returns the folder of an entry, whether it exists or not."""
        return self.path / kind / name

    def cargo_target(self, purpose):
        """Returns the folder in which cargo builds for this checkout, and for no other.

        Cargo names what it builds by paths within the checkout: in a shared folder it would run
        the older tests of one checkout in place of the tests of another.
        """
        folder = self.entry(purpose, key(checkout()))
        folder.mkdir(parents=True, exist_ok=True)
        set_complete(folder, str(checkout()))
        self.used(folder)
        return folder

    def used(self, folder, keep=KEEP):
        """Notes that a complete entry is used; removes old entries of its kind.

        The `keep` most recently used stay, and whatever was used within the
        hour, so that no run loses what it is about to boot.
        """
        os.utime(folder / COMPLETE)
        ages = []
        for entry in folder.parent.iterdir():
            with contextlib.suppress(OSError):
                ages.append(((entry / COMPLETE).stat().st_mtime, entry))
        for stamp, entry in sorted(ages, reverse=True)[keep:]:
            if time.time() - stamp > KEEP_SECONDS:
                (entry / COMPLETE).unlink(missing_ok=True)
                shutil.rmtree(entry, ignore_errors=True)

    @contextlib.contextmanager
    def lock(self, name):
        """Holds the lock `name`; prints a line while another process holds it."""
        path = self.path / "lock" / name.replace("/", "-")
        with open(path, "a+", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"  waiting   {name} is already being built", flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def is_complete(folder):
    """Returns whether the build of this entry reached its end."""
    return (Path(folder) / COMPLETE).is_file()


def set_complete(folder, text=""):
    """Marks the entry as complete; the last step of its build. Several may do so concurrently."""
    folder = Path(folder)
    new = folder / f"{COMPLETE}.{os.getpid()}-{threading.get_ident()}"
    with open(new, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.rename(folder / COMPLETE)


def checkout():
    """Returns the top of the source tree that this package is in."""
    return Path(__file__).resolve().parents[2]


def jobs():
    """Returns how many compile jobs run on this machine."""
    return len(os.sched_getaffinity(0))


def say(kind, text):
    """Prints a line of progress, in the two columns that every step uses."""
    print(f"  {kind:<9} {text}", flush=True)
    sys.stdout.flush()
