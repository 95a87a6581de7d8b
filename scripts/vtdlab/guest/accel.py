# SPDX-License-Identifier: GPL-2.0
"""Whether the guests of `make guest` can run on this machine's processors, by KVM.

That /dev/kvm opens proves little: on some machines a guest starts and never prints a line. Only a
boot shows it. Its result is kept until this machine is booted again.
"""

import os
from pathlib import Path

from vtdlab import cache as lab
from vtdlab.errors import LabError

DEVICE = "/dev/kvm"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
CHOICES = ("auto", "kvm", "tcg")
# Seconds until the first line of a guest on KVM; it takes about one.
PATIENCE = 10


class Choice:
    """What runs a guest's processors."""

    def __init__(self, wanted="auto", cache=None, device=DEVICE):
        if wanted not in CHOICES:
            raise LabError(f"ACCEL={wanted} is none of {', '.join(CHOICES)}.")
        self.wanted = wanted
        self.note = (cache or lab.Cache()).path / "kvm-hangs"
        usable = os.access(device, os.R_OK | os.W_OK)
        if wanted == "kvm" and not usable:
            raise LabError(f"ACCEL=kvm, but {device} cannot be used: it is missing, or its group "
                           "(kvm) is not yours.")
        self.name = "kvm" if wanted == "kvm" or (
            wanted == "auto" and usable and not self._hangs()) else "tcg"

    def _hangs(self):
        try:
            return self.note.read_text(encoding="ascii") == BOOT_ID.read_text(encoding="ascii")
        except OSError:
            return False

    @property
    def patience(self):
        """Returns seconds until the guest must have sent a line, or None for the usual ones."""
        return PATIENCE if self.name == "kvm" else None

    def failed(self):
        """Notes that a guest on KVM did not start. The next one is emulated."""
        if self.wanted == "kvm":
            raise LabError(f"A guest on KVM printed no line for {PATIENCE} s; without ACCEL=kvm "
                           "it is emulated.")
        self.note.write_text(BOOT_ID.read_text(encoding="ascii"), encoding="ascii")
        self.name = "tcg"
