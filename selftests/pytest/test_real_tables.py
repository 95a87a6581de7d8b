# SPDX-License-Identifier: GPL-2.0
"""DMAR tables and capability registers of real machines, if some are available.

They are other people's firmware and not part of this project: a folder next to the
checkout, ../shared/real or the one that VTD_REAL_TABLES names (scripts/enter). It has
dmar/*.bin, INDEX.tsv (file, kind, vendor, bytes, units, ...), decode.py (an independent
decoder of the tables) and caps.tsv (version, CAP, ECAP, ...). The shapes that matter are
rebuilt in src/core/tests/dmar_reports.rs and src/core/tests/spec_machines.rs.
"""

import csv
import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vtdlab import cache as lab

TIMEOUT = 600
PAGE_0 = re.compile(r"the reserved region 0x0\.\.=0x(?:0|fff) starts at page 0, ")
REPEATS = re.compile(r"it repeats the unit at offset 0x([0-9a-f]+)$")
# Fields of CAP and ECAP as in drivers/iommu/intel/iommu.h: the number of one bit each.
CAP = {"afl": 3, "rwbf": 4, "plmr": 5, "phmr": 6, "cm": 7, "39": 9, "48": 10, "57": 11, "zlr": 22,
       "psi": 39, "dwd": 54, "drd": 55, "fl1gp": 56, "pi": 59, "fl5lp": 60, "ecmds": 61,
       "esirtps": 62, "esrtps": 63}
ECAP = {"c": 0, "qi": 1, "dt": 2, "ir": 3, "eim": 4, "pt": 6, "sc": 7, "mts": 25, "nest": 26,
        "prs": 29, "ers": 30, "srs": 31, "nwfs": 33, "eafs": 34, "pasid": 40, "dit": 41, "pds": 42,
        "smts": 43, "vcs": 44, "slads": 45, "slts": 46, "flts": 47, "smpwc": 48, "rps": 49,
        "pms": 51, "adms": 52}


@pytest.fixture(scope="module", name="real")
def _real():
    found = os.environ.get("VTD_REAL_TABLES")
    if not found:
        pytest.skip("no tables of real machines: there is no ../shared/real of your own, nor does "
                    "VTD_REAL_TABLES name a folder")
    return Path(found)


def _rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def _describe(*words):
    env = dict(os.environ, CARGO_TARGET_DIR=str(lab.Cache().cargo_target("cargo-target")))
    done = subprocess.run(["cargo", "run", "--quiet", "--manifest-path",
                           str(lab.checkout() / "Cargo.toml"), "--example", "describe", "--", *words],
                          env=env, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def _files(lines):
    """Returns {table: its lines}."""
    found, lines_of = {}, None
    for line in lines:
        if line.startswith("FILE "):
            lines_of = found.setdefault(Path(line[5:]).stem, [])
        else:
            lines_of.append(line)
    return found


@functools.cache
def _tables(real):
    """Returns ({table: the independent decoder's lines}, {table: vtd_core's lines})."""
    folder = real / "dmar"
    done = subprocess.run([sys.executable, "-B", str(real / "decode.py"), str(folder)], check=True,
                          capture_output=True, text=True, timeout=TIMEOUT)
    ours = _describe("table", *map(str, sorted(folder.glob("*.bin"))))
    return _files(done.stdout.splitlines()), _files(ours)


def _intree_takes(theirs):
    """Returns how dmar_validate_one_drhd() and the walk of 7.3's dmar.c treat a decoded table."""
    wrong = ("BADSTRUCT", "LENDIFF", "BADSUM")
    return not any(line.startswith(wrong) or re.match(r"DRHD .* base=0 ", line) for line in theirs)


def test_every_table_is_there(real):
    """The index, the files and both decoders' output have the same tables."""
    theirs, ours = _tables(real)
    named = {row["file"].removesuffix(".bin") for row in _rows(real / "INDEX.tsv")}
    assert named and named == set(theirs) == set(ours)


def test_tables_that_the_in_tree_driver_accepts_are_accepted(real):
    """vtd accepts what the kernel accepts, and refuses what it refuses."""
    theirs, ours = _tables(real)
    taken = {name for name, lines in ours.items() if not lines[0].startswith("REFUSED ")}
    assert taken == {name for name, lines in theirs.items() if _intree_takes(lines)}
    print(f"{len(taken)} of {len(ours)} tables are taken")


def _compare(theirs, ours):
    """Returns the differences between two readings of one table, without the allowed ones."""
    structures = [line for line in ours if not line.startswith(("NOTE ", "UNITS "))]
    assert len(theirs) == len(structures)
    left_out = []
    for their, our in zip(theirs, structures):
        if not our.startswith("IGNORED "):
            assert their == our
            continue
        _, place, why = our.split(" ", 2)
        left_out.append(why)
        assert their.split()[1] == place
        if repeated := REPEATS.match(why):
            other = next(line for line in theirs if line.split()[1] == f"@{repeated[1]}")
            form = re.compile(r"@[0-9a-f]+|[0-9a-f]+(?=:\d+/)")
            assert form.sub("", other) == form.sub("", their)
        else:
            assert PAGE_0.match(why) and re.match(r"RMRR .* base=0 limit=(0|fff) ", their)
    return left_out


def test_both_readings_are_the_same(real):
    """Units, scopes, regions and all else agree, except bad regions and repeated units."""
    theirs, ours = _tables(real)
    for row in _rows(real / "INDEX.tsv"):
        name = row["file"].removesuffix(".bin")
        lines = ours[name]
        if lines[0].startswith("REFUSED "):
            continue
        left_out = _compare(theirs[name], lines)
        notes = [line for line in lines if line.startswith("NOTE 1 ") and " ignored: " in line]
        assert [note.split(" ignored: ")[1] for note in notes] == left_out, name
        units = len({line.split("base=")[1].split()[0] for line in theirs[name]
                     if line.startswith("DRHD ")})
        assert f"UNITS {units}" in lines, name
        listed = sum(line.startswith("DRHD ") for line in theirs[name])
        assert listed == int(row["units"]), name


SCOPE = re.compile(r"[0-9a-f]+:(\d)/\d+/\d+/(\d+)/(\d+)\.(\d+)(?= |\])")
FLAG = re.compile(r"(ATSR|SATC) @[0-9a-f]+ (?:all|req)=(\d) seg=(\d+) ")


def _device_tlbs(theirs):
    """Returns the lines of `describe ats` for a table, computed from the independent decoder's."""
    expected = set()
    for line in theirs:
        if not (found := FLAG.match(line)):
            continue
        kind, flag, segment = found[1], found[2] == "1", found[3]
        named = [(int(bus), int(device), int(function))
                 for kind_of, bus, device, function in SCOPE.findall(line) if kind_of in "12"]
        if kind == "ATSR" and flag:
            named = [(bus, device, function) for bus in {0, *(bus for bus, _, _ in named)}
                     for device in range(32) for function in range(8)]
        words = {"ATSR": "port", "SATC": "integrated"}[kind]
        # With ats=0, 1 and 2, in legacy and in scalable mode. In legacy mode hardware controls the
        # device-TLB of a device that needs it.
        code = {"ATSR": "000011", "SATC": "000101"}[kind]
        if kind == "ATSR" or flag:
            expected |= {f"{words} {segment}:{bus:02x}:{device:02x}.{function} {code}"
                         for bus, device, function in named}
    return expected


def test_the_same_devices_use_their_device_tlb(real):
    """Each device that firmware lists (SATC), and each below a port that it lists (ATSR)."""
    theirs, tables = _tables(real)
    ours = _files(_describe("ats", *map(str, sorted((real / "dmar").glob("*.bin")))))
    listed = 0
    for name, lines in ours.items():
        if tables[name][0].startswith("REFUSED "):
            continue
        expected = _device_tlbs(theirs[name])
        assert set(lines) == expected, name
        listed += bool(expected)
    assert listed, "no table lists a device-TLB"
    print(f"{listed} of {len(ours)} tables list device-TLBs or ports for them")


def _flags(value, bits):
    return ",".join(name for name, bit in bits.items() if value >> bit & 1)


def _expected(pair):
    """Returns the lines of `describe caps`, computed with the macros of iommu.h."""
    cap, ecap = (int(text, 16) for text in pair.split(":"))
    fault, records = (cap >> 24 & 0x3FF) * 16, (cap >> 40 & 0xFF) + 1
    iotlb = (ecap >> 8 & 0x3FF) * 16
    end = max(fault + 16 * records, iotlb + 16, 4096)
    mgaw = (cap >> 16 & 0x3F) + 1
    width = max(width for width in ("39", "48", "57") if cap >> CAP[width] & 1)
    pages = 4096 | (cap >> 34 & 1) << 21 | (cap >> 35 & 1) << 30
    return [
        f"{pair} domains={1 << 4 + 2 * (cap & 7)} mgaw={mgaw} fro={fault:x} nfr={records} "
        f"mamv={cap >> 48 & 0x3F} iro={iotlb:x} mhmv={ecap >> 20 & 0xF} "
        f"pss={(ecap >> 35 & 0x1F) + 1} registers={(end + 4095) // 4096 * 4096:x} "
        f"cap=[{_flags(cap, CAP)}] ecap=[{_flags(ecap, ECAP)}]",
        f"{pair} width={width} last={(1 << min(mgaw, int(width))) - 1:x} pages={pages:x} "
        f"coherent={ecap & 1} snoop={ecap >> 7 & 1}",
    ]


def test_every_pair_of_capabilities_is_read_as_the_in_tree_driver_reads_it(real):
    """Every field agrees, and so does the format of tables for such a unit."""
    pairs = [f"{row['cap']}:{row['ecap']}" for row in _rows(real / "caps.tsv")]
    assert pairs
    expected = [line for pair in pairs for line in _expected(pair)]
    assert _describe("caps", *pairs) == expected
