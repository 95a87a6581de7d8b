# SPDX-License-Identifier: GPL-2.0
"""Checks vtd_bench.ko as it was compiled: it needs no other module, and only the call is timed.

That a loop of known length is measured correctly is checked where it is measured."""

import re
import subprocess

import pytest

from vtdlab import cache as lab
from vtdlab.build import kernel, module

TIMEOUT = 120
INSTRUCTION = re.compile(r"^ +[0-9a-f]+:\t(\S+)")
CALLED = re.compile(r"R_X86_64_PLT32\t(\w+)-")
# The least number of times that each is timed, and the most instructions around the call: they
# put arguments into registers and save the result; for DMA, they check whether there was one.
TIMED = {"iommu_map": (3, 14), "iommu_unmap": (3, 10),
         "dma_map_page_attrs": (1, 24), "dma_unmap_page_attrs": (1, 24),
         "dma_map_sg_attrs": (1, 24), "dma_unmap_sg_attrs": (1, 24)}
USERS = {"iommu_attach_group", "iommu_device_claim_dma_owner", "iommu_map", "iommu_unmap",
         "dma_map_page_attrs"}


def _said(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True,
                          timeout=TIMEOUT).stdout


def windows(listing):
    """Returns [(number of instructions, what they call)] between each two reads of the clock."""
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
    """Tests the reader itself."""
    text = ("0000 <f>:\n   0:\trdtsc\n   2:\tmov    %rax,%rbx\n   5:\tcall   9 <f+0x9>\n"
            "\t\t\t6: R_X86_64_PLT32\tg-0x4\n   a:\trdtsc\n   c:\tnop\n   d:\trdtsc\n"
            "0010 <h>:\n  10:\tnop\n  11:\trdtsc\n  13:\trdtsc\n")
    assert windows(text) == [(2, ["g"]), (0, [])]


@pytest.fixture(scope="module", params=kernel.SERIES, name="modules")
def _modules(request):
    cache = lab.Cache()
    built = kernel.get(cache, request.param)
    return {each.name: module.get(cache, built, each) for each in module.ALL}


def test_the_module_depends_on_no_other(modules):
    """It needs no other module, so it cannot depend on the driver."""
    info = dict(line.split(":", 1) for line in _said("modinfo", modules["vtd_bench"]).splitlines()
                if ":" in line)
    assert (info["name"].strip(), info["depends"].strip()) == ("vtd_bench", "")


def test_only_the_call_is_timed(modules):
    """The figures contain only a few instructions of the module, with either compiler."""
    found = windows(_said("objdump", "-dr", "--no-show-raw-insn", modules["vtd_bench"]))
    for name, (least, most) in TIMED.items():
        around = [(count, calls) for count, calls in found if name in calls]
        assert len(around) >= least, f"{name} is timed {len(around)} times"
        for count, calls in around:
            assert calls == [name], f"{calls} is timed together with {name}"
            assert count <= most, f"{count} instructions are timed for {name}"


def test_the_driver_has_nothing_of_it(modules):
    """It attaches and maps only through the IOMMU core, so it is no second driver."""
    assert not USERS & set(_said("nm", "-u", modules["vtd"]).split())
