# SPDX-License-Identifier: GPL-2.0
"""vtd.ko as it was compiled: no function takes much of a thread's stack, whose 16 KiB must serve
a load, the IOMMU core's probe and an allocation in it."""

import re
import subprocess

import pytest

from vtdlab import cache as lab
from vtdlab.build import kernel, module

TIMEOUT = 120
# CONFIG_FRAME_WARN is 2 KiB for C; what a load builds in place is in two frames.
MOST = 2560
NAME = re.compile(r"^[0-9a-f]+ <(.*)>:$")
FRAME = re.compile(r"\tsub +\$0x([0-9a-f]+),%rsp")


def frames(listing):
    """Returns (bytes, function) of each function that reserves stack space."""
    function = None
    for line in listing.splitlines():
        if name := NAME.match(line):
            function = name[1]
        elif room := FRAME.search(line):
            yield int(room[1], 16), function


def test_frames_are_read_from_a_listing():
    """Tests the reader itself."""
    text = "0000 <f>:\n   0:\tpush   %rbp\n   1:\tsub    $0x1040,%rsp\n0010 <g>:\n  10:\tret\n"
    assert list(frames(text)) == [(0x1040, "f")]


@pytest.mark.parametrize("series", kernel.SERIES)
def test_no_function_takes_much_stack(series):
    """A function that did so overran the stack of a load on Debian's kernel."""
    cache = lab.Cache()
    built = module.get(cache, kernel.get(cache, series))
    listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", str(built)], check=True,
                             capture_output=True, text=True, timeout=TIMEOUT).stdout
    found = sorted(frames(listing), reverse=True)
    assert found and found[0][0] <= MOST, found[:3]
