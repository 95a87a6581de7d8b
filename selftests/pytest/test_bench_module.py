# SPDX-License-Identifier: GPL-2.0
"""vtd_bench.ko as it was compiled: it stands alone, and what it times is the call.

That a loop of known length is measured right is checked where it is measured."""

import re
import subprocess

import pytest

from vtdlab import cache as lab
from vtdlab import kernel, module

TIMEOUT = 120
INSTRUCTION = re.compile(r"^ +[0-9a-f]+:\t(\S+)")
CALLED = re.compile(r"R_X86_64_PLT32\t(\w+)-")
# How often each is timed at least, and the instructions around the call at most: arguments
# into registers, the result out of the way of the clock; for DMA, whether there was one.
TIMED = {"iommu_map": (3, 14), "iommu_unmap": (3, 10),
         "dma_map_page_attrs": (1, 24), "dma_unmap_page_attrs": (1, 24),
         "dma_map_sg_attrs": (1, 24), "dma_unmap_sg_attrs": (1, 24)}
USERS = {"iommu_attach_group", "iommu_device_claim_dma_owner", "iommu_map", "iommu_unmap",
         "dma_map_page_attrs"}


def _said(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True,
                          timeout=TIMEOUT).stdout


def windows(listing):
    """[(number of instructions, what they call)] between each two reads of the clock."""
    found, now = [], None
    for line in listing.splitlines():
        if line.endswith(">:"):
            now = None
        elif (code := INSTRUCTION.match(line)) and code[1] == "rdtsc":
            if now:
                found.append(now)
            now = None if now else (0, [])
        elif now and code:
            now = (now[0] + 1, now[1])
        elif now and (call := CALLED.search(line)):
            now[1].append(call[1])
    return found


def test_windows_are_read_from_a_listing():
    """The reader itself."""
    text = ("0000 <f>:\n   0:\trdtsc\n   2:\tmov    %rax,%rbx\n   5:\tcall   9 <f+0x9>\n"
            "\t\t\t6: R_X86_64_PLT32\tg-0x4\n   a:\trdtsc\n   c:\tnop\n   d:\trdtsc\n"
            "0010 <h>:\n  10:\tnop\n  11:\trdtsc\n  13:\trdtsc\n")
    assert windows(text) == [(2, ["g"]), (0, [])]


@pytest.fixture(scope="module", params=kernel.SERIES, name="modules")
def _modules(request):
    cache = lab.Cache()
    built = kernel.get(cache, request.param)
    return {each.name: module.get(cache, built, each) for each in module.ALL}


def test_it_stands_alone(modules):
    """It needs no other module, so it cannot know who drives."""
    info = dict(line.split(":", 1) for line in _said("modinfo", modules["vtd_bench"]).splitlines()
                if ":" in line)
    assert (info["name"].strip(), info["depends"].strip()) == ("vtd_bench", "")


def test_only_the_call_is_timed(modules):
    """Nothing of ours is in the figures but a few instructions, whichever compiler made it."""
    found = windows(_said("objdump", "-dr", "--no-show-raw-insn", modules["vtd_bench"]))
    for name, (least, most) in TIMED.items():
        around = [(count, calls) for count, calls in found if name in calls]
        assert len(around) >= least, f"{name} is timed {len(around)} times"
        for count, calls in around:
            assert calls == [name], f"beside {name}, {calls} is timed"
            assert count <= most, f"{count} instructions are timed for {name}"


def test_the_driver_has_nothing_of_it(modules):
    """A driver that attached or mapped by itself would be another driver."""
    assert not USERS & set(_said("nm", "-u", modules["vtd"]).split())
