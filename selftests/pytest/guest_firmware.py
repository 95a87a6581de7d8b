# SPDX-License-Identifier: GPL-2.0
"""Hostile firmware: a guest is booted with each table of the corpus that the parser is
tested with on the host, if the kernel itself accepts the table.

What the driver says of a table is documented in the host's half (OUTCOMES). What it makes
of an accepted table (units, devices, reserved regions) is in BOOTED next to that file.
After an intended change: VTD_WRITE_CORPUS=1, then read the difference. A refused table
leaves the hardware alone: QEMU's trace has no write of a register.
"""
import concurrent.futures
import dataclasses
import functools
import hashlib
import os
import re
import shutil
import tempfile

import pytest

import guest_pool
import boot_runner
import boots
from vtdlab import cache as lab
from vtdlab.evidence import klog
from vtdlab.evidence.trace import Trace
from vtdlab.guest import acpi, devices, qemu, testbed
from vtdlab.guest.channel import Records

CORPUS = lab.checkout() / "src/core/tests/dmar_corpus"
TIMEOUT = 120
LEAST, EACH = 40, 1
# The kernel parses the table, too, whichever driver is used, and does not survive these: it loops
# (lengths of 0 or too small, a truncated structure) or crashes (registers that wrap).
KERNEL_LOST = {
    "affinity-too-short", "ports-too-short", "region-too-short", "scope-length-0", "scope-length-5",
    "scope-odd-length", "structure-behind-zeroes", "structure-half-a-header",
    "structure-length-0", "structure-length-3", "structure-one-byte-left",
    "structure-one-byte-left-not-0", "structure-unit-too-short", "structure-unknown-length-0",
    "structure-zeroes-behind", "unit-wraps-64-bit",
}
# Lines about a region in memory of the kernel: they depend on the machine, not on the table.
IN_RAM = "No firmware reserved region can cover this RMRR"
# Lines about every unit, accepted or not.
ANNOUNCED = r"(?!VT-d |CAP|ECAP|\d+-bit|legacy mode|scalable mode)"


def documented(name):
    """Returns {table: (whether it is taken, [lines])} of OUTCOMES or BOOTED."""
    text = (CORPUS / name).read_text(encoding="utf-8")
    found = {}
    for block in text.split("\n\n")[1:]:
        head, *lines = block.strip().splitlines()
        table, verdict = head.split(": ")
        found[table] = (verdict, [line.strip() for line in lines])
    return found


@functools.cache
def tables():
    """Returns the tables that can be booted: {name: bytes}."""
    every = {path.stem: acpi.replacing(path.read_bytes()) for path in CORPUS.glob("*.dmar")}
    return {name: raw for name, raw in sorted(every.items()) if raw and name not in KERNEL_LOST}


def _outcome(name):
    """Returns what distinguishes an outcome from others: its words, but not its numbers."""
    verdict, lines = documented("OUTCOMES")[name]
    if verdict == "taken":
        verdict, more = documented("BOOTED").get(name, (name, []))
        lines = lines + more
    return verdict, tuple(re.sub(r"0x[0-9a-f]+|\d+", "N", line) for line in lines)


def chosen():
    """Returns one table for each outcome; all of them with FIRMWARE=all (`make firmware`)."""
    by_outcome = {}
    for name in tables():
        by_outcome.setdefault(_outcome(name), []).append(name)
    most = None if os.environ.get("FIRMWARE") == "all" else EACH
    return sorted(name for names in by_outcome.values() for name in names[:most])


def _machine():
    """Returns the devices that the corpus names: 00:02.0, and one behind 00:1c.0."""
    return ["-device", "edu,bus=pcie.0,addr=02.0",
            "-device", f"iommu-testdev,bus=pcie.0,addr={devices.TESTDEV.bdf[8:]}",
            "-device", "pcie-root-port,id=port0,chassis=1,bus=pcie.0,addr=1c.0",
            "-device", "edu,bus=port0,addr=00.0"]


@dataclasses.dataclass
class Booted:
    """The records of one guest, and its witnesses."""

    records: Records
    console: list
    outcome: object
    trace: Trace        # from just before the load to the end

    @property
    def verdict(self):
        """Returns "taken" or "refused"."""
        return (self.records.of("load") or [{"result": "no result"}])[0]["result"]

    def words(self, pattern):
        """Returns the driver's log lines, without times and names."""
        found = (re.search(r"\] vtd: " + pattern, line) for line in self.console)
        return [match[1].strip() for match in found if match]

    def notes(self):
        """Returns its lines about the table itself: unusual, or wrong."""
        return self.words(r"(?:DMAR|\[Firmware Bug\]): (DMAR table, (?!.*" + IN_RAM + ").*)")

    def lines(self):
        """Returns the outcome in the form of BOOTED."""
        if self.verdict != "taken":
            return [*self.words(rf"(dmar\d+: {ANNOUNCED}.*)"), *self.words(r"not loaded: (.*)")]
        units = [f"{u['name']} at 0x{u['address']}: {u['serves'] or 'no device'}"
                 for u in self.records.of("unit")]
        units += self.words(r"\[Firmware Bug\]: (.*" + IN_RAM + ".*)")
        return units + [f"{r['device']}: {r['first']} to {r['last']} {r['kind']}"
                        for r in self.records.of("region") if r["kind"] == "direct"]


def _boot(series, name):
    out = lab.checkout() / "out/check" / f"{series}-firmware" / name
    shutil.rmtree(out, ignore_errors=True)
    bed = testbed.get(series)
    records = Records()
    with tempfile.TemporaryDirectory(prefix="vtd-tables-") as folder:
        image = acpi.put_before(bed.image, {"dmar": tables()[name]}, f"{folder}/initramfs")
        machine = bed.machine("firmware", _machine(), image=image, append=["guest.end=poweroff"])
        machine = dataclasses.replace(machine, cpus=1, memory="512M")
        outcome = qemu.boot(machine, out, TIMEOUT, records.add)
    labels = {label: mark for mark, label in records.marks().items()}
    trace = Trace.read(outcome.trace)
    if "load" in labels:
        trace = trace.between(labels["load"], None)
    return Booted(records, klog.read(outcome.console), outcome, trace)


@pytest.fixture(scope="module", name="guests")
def _guests(request):
    """Returns {(series, table): its Booted}; the guests boot while the first are judged."""
    asked = [item.callspec.params["boot"] for item in request.session.items
             if item.path.name == "guest_firmware.py" and "boot" in item.fixturenames]
    for series in {series for series, _ in asked}:
        testbed.get(series)
    with concurrent.futures.ThreadPoolExecutor(guest_pool.concurrency()) as pool:
        yield {one: pool.submit(_boot, *one) for one in dict.fromkeys(asked)}


def pytest_generate_tests(metafunc):
    """Parametrizes by the first requested series and every table."""
    if "boot" in metafunc.fixturenames:
        series = (metafunc.config.getoption("--series") or boots.SERIES)[0]
        metafunc.parametrize("boot", [(series, name) for name in chosen()], indirect=True,
                             ids=[f"{series}-{name}" for name in chosen()])


@pytest.fixture(name="boot")
def _boot_of(request, guests):
    return request.param[1], guests[request.param].result()


def _write(name, boot):
    """Writes the outcome to BOOTED."""
    path = CORPUS / "BOOTED"
    head = path.read_text(encoding="utf-8").split("\n\n", 1)[0]
    found = documented("BOOTED") | {name: (boot.verdict, boot.lines())}
    blocks = [f"{table}: {verdict}" + "".join(f"\n    {line}" for line in lines)
              for table, (verdict, lines) in sorted(found.items())]
    path.write_text("\n\n".join([head, *blocks]) + "\n", encoding="utf-8")


def test_table(boot):
    """It was this table; the outcome is the documented one; a refusal has written no register."""
    name, boot = boot
    tail = "\n".join(boot.console[-boot_runner.LOG_TAIL:])
    assert boot.outcome.ending == "poweroff", (boot.outcome.detail, tail)
    assert boot.records.of("table")[0]["sum"] == hashlib.sha256(tables()[name]).hexdigest()
    assert not klog.complaints(boot.console)
    verdict, said = documented("OUTCOMES")[name]
    if verdict == "refused":
        assert (boot.verdict, boot.lines()) == (verdict, said)
    else:
        # The parser accepts it: the notes are those of the host, the rest depends on the machine.
        assert boot.notes() == said
        if os.environ.get("VTD_WRITE_CORPUS"):
            _write(name, boot)
        assert (boot.verdict, boot.lines()) == documented("BOOTED")[name]
    bugs = boot.words(r"(\[Firmware Bug\]: .*)")
    before, after = (record.number("firmware-taint") for record in boot.records.of("taint"))
    assert {before, after} <= {0, 1}, "the guest could not say whether the kernel is tainted"
    assert after == bool(before or bugs), "the kernel is tainted by wrong tables, and by no others"
    writes = boot.trace.named("vtd_reg_write")
    if boot.verdict == "refused":
        assert not writes, f"{len(writes)} registers were written, the first: {writes[0].text}"
        assert boot.trace.translation() == []
        assert boot.records.of("load")[0]["claimed"] == "0"
    else:
        assert boot.trace.translation() == [True, False]
    boot.outcome.trace.unlink()


def test_enough():
    """The corpus has not shrunk, and each of its tables has an outcome."""
    assert len(chosen()) >= LEAST
    taken = {name for name in tables() if documented("OUTCOMES")[name][0] == "taken"}
    assert set(documented("BOOTED")) == taken
