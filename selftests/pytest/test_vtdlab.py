# SPDX-License-Identifier: GPL-2.0
"""The tools that judge the driver are tested first."""

import importlib
import io
import re
import subprocess

import pytest

import boots
import heads
from vtdlab import __main__
from vtdlab import cache as lab
from vtdlab.build import vfio_selftests
from vtdlab.build.cpio import Archive
from vtdlab.commands import check
from vtdlab.errors import LabError
from vtdlab.evidence import decoder, demo, klog, ktap
from vtdlab.evidence.trace import Trace, parse
from vtdlab.guest import devices, machines
from vtdlab.guest.channel import Records

TRACE = """\
vtd_dmar_enable enable 1
pci_cfg_write iommu-testdev 00:06.0 @0xf0 <- 0x1
vtd_inv_desc invalidate desc type iotlb high 0xffffd000 low 0x30032
vtd_dmar_fault sid 0x28 fault 5 addr 0xffffd000 write 1
pci_cfg_write nvme 01:00.0 @0x4 <- 0x407
pci_cfg_write iommu-testdev 00:06.0 @0xf0 <- 0x2
vtd_inv_desc invalidate desc type wait high 0xc1a000 low 0x200000025
vtd_dmar_enable enable 0
"""


@pytest.fixture(name="trace")
def _trace():
    return Trace(filter(None, (parse(n, line) for n, line in enumerate(TRACE.splitlines(), 1))))


def test_trace_has_the_fault_with_every_field(trace):
    """Source-id, reason, address and direction are decoded."""
    (fault,) = trace.faults()
    assert (fault.sid, fault.reason, fault.address, fault.write) == (0x28, 5, 0xFFFFD000, True)
    assert "edu" in str(fault) and "may not be written" in str(fault)


def test_trace_is_cut_at_marks_and_only_at_marks(trace):
    """A configuration write to another device is no mark."""
    assert [mark for mark, _ in trace.marks()] == [1, 2]
    assert len(trace.between(1, 2).descriptors()) == 1
    assert len(trace.between(2, 3).descriptors()) == 1
    with pytest.raises(LookupError):
        trace.between(9, 10)


def test_trace_distinguishes_translation_on_from_off(trace):
    """They are listed in order."""
    assert trace.translation() == [True, False]


@pytest.mark.parametrize("low, high, kind, words", [
    (0x11, 0, "context-global", "context global"),
    (0x0000_0028_0003_0031, 0, "context-device", "source-id 0x0028"),
    (0x30022, 0, "iotlb-domain", "domain-id 3"),
    (0x30032, 0xFFFFD003, "iotlb-pages", "8 pages from 0xffffd000"),
    (0x30032, 0xFFFFD040, "iotlb-pages", "leaf entries only"),
    (0x30026, 0, "pasid-iotlb-whole", "domain-id 3, PASID 0"),
    (0x5_0003_0036, 0xFFFFD043, "pasid-iotlb-pages", "PASID 5, 8 page(s) from 0xffffd000, leaf"),
    (0x2_0000_0025, 0xC1A000, "wait", "write 0x2 to 0xc1a000"),
])
def test_descriptors_in_words(low, high, kind, words):
    """Descriptors encoded by hand from the specification are decoded."""
    assert decoder.descriptor_kind(low, high) == kind
    assert words in decoder.descriptor(low, high)


def test_capabilities_of_qemu_in_words():
    """The values are those that QEMU's unit has by default."""
    words = dict(decoder.capabilities(0x80D2008C222F0606, 0xF00F4A))
    assert words["domain ids"] == "65536"
    assert words["page tables"] == "39 bits (3 levels), 48 bits (4 levels)"
    assert words["page sizes"] == "4 KiB, 2 MiB, 1 GiB"
    assert words["page-selective invalidation"] == "up to 262144 pages in one request"
    assert words["coherent page walks"] == "no"
    assert words["fault records"] == "1"


def test_source_ids():
    """A source-id is bus, device and function."""
    assert devices.source_id("0000:01:00.0") == 0x100
    assert devices.source_id("0000:00:1f.3") == 0xFB


OURS = ("[    1.5] vtd: dmar0: fault: device 0000:00:05.0 (driver vtd_attack) write of "
        "0x00000000fffff000 refused: the page is not mapped for writing (VT-d 7.1.3, reason 0x05), "
        "domain #2, domain-id 3 (DMA, strict)")
INTREE = ("[   19.8] DMAR: [DMA Write NO_PASID] Request device [00:05.0] fault addr 0xfffff000 "
          "[fault reason 0x05] PTE Write access is not set")


@pytest.mark.parametrize("line", [OURS, INTREE], ids=["vtd", "in-tree"])
def test_faults_of_both_drivers_are_read(line):
    """The same fault is read from both drivers' lines."""
    (fault,) = klog.faults(["noise", line])
    assert (fault.bdf, fault.write, fault.address, fault.reason) == (
        "0000:00:05.0", True, 0xFFFFF000, 5)


@pytest.mark.parametrize("line", [
    "WARNING: CPU: 0 PID: 1 at drivers/iommu/iommu.c:1 x", "BUG: kernel NULL pointer dereference",
    "WARNING: possible circular locking dependency detected", "Oops: 0000 [#1] SMP",
    "DMA-API: device driver maps memory from stack", "Kernel panic - not syncing: x",
    "kmemleak: 2 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
    "ODEBUG: Out of memory. ODEBUG disabled",
    "rust_kernel: panicked at src/x.rs:1:1:"])
def test_a_complaint_is_seen(line):
    """Every kind of complaint is found."""
    assert klog.complaints(["fine", f"[ 1.0] {line}"])


def test_an_ordinary_log_is_no_complaint():
    """Similar lines are no complaints."""
    assert not klog.complaints(["debugfs mounted", "printk: warning level", OURS,
                                "kasan: KernelAddressSanitizer initialized",
                                "DMA-API: preallocated 65536 debug entries",
                                "DMA-API: debugging enabled by kernel config",
                                "kmemleak: Kernel memory leak detector initialized"])


def read_all(text):
    """Returns the results of a KTAP text, and the reader."""
    reader = ktap.Reader()
    return [found for line in text.splitlines() if (found := reader.feed(line))], reader


def test_ktap_results_and_their_reasons():
    """Passed, failed, skipped and nested results are read."""
    found, reader = read_all("KTAP version 1\n1..2\n# Subtest: load\n  KTAP version 1\n  1..3\n"
                             "  ok 1 - a\n  # why\n  not ok 2 - b\n  ok 3 - c # SKIP no disk\n"
                             "not ok 1 - load # status 1\n# Subtest: gone\n  1..0 # SKIP nothing\n"
                             "ok 2 - gone # SKIP see above\n")
    assert [(f.test, f.name, f.outcome) for f in found] == [
        ("load", "a", "passed"), ("load", "b", "failed"), ("load", "c", "skipped"),
        ("load", "load", "failed"), ("gone", "gone", "skipped")]
    assert found[1].notes == ("why",) and found[2].reason == "no disk"
    assert found[4].reason == "nothing"
    assert not reader.missing()


@pytest.mark.parametrize("text", [
    "", "1..2\nok 1 - a\n", "1..1\nok 1 - a\nok 2 - b\n",
    "1..1\n# Subtest: x\n  1..2\n  ok 1 - a\nok 1 - x\n"])
def test_a_ktap_plan_that_is_not_met_fails(text):
    """Too few, too many, no results, and a broken plan inside a test are reported."""
    assert read_all(text)[1].missing()


def test_ktap_numbers_out_of_order_fail():
    """A lost result is reported."""
    found, _ = read_all("1..2\nok 2 - b\n")
    assert found[0].outcome == "failed"


def test_records_keep_order_and_marks():
    """A mark names what follows it."""
    records = Records()
    records.add('mark number=1 label="attack x"')
    attack = records.add("attack device=0000:00:05.0 landed=0")
    records.add("mark number=2 label=end")
    assert records.mark_before(attack) == 1
    assert records.marks() == {1: "attack x", 2: "end"}
    assert records.add('broken "quote') is not None


def test_the_archive_is_read_by_cpio(tmp_path):
    """Another implementation of cpio lists what ours wrote."""
    file = io.BytesIO()
    archive = Archive(file)
    archive.data("a/b/odd", b"12345", executable=True)
    archive.data("a/even", b"1234")
    archive.link("init", "/a/b/odd")
    archive.close()
    subprocess.run(["cpio", "-id", "--quiet"], input=file.getvalue(), cwd=tmp_path, check=True,
                   timeout=30)
    assert (tmp_path / "a/b/odd").read_bytes() == b"12345"
    assert (tmp_path / "a/b/odd").stat().st_mode & 0o111
    assert (tmp_path / "a/even").read_bytes() == b"1234"
    assert (tmp_path / "init").readlink().as_posix() == "/a/b/odd"


def test_every_test_of_the_guests_is_run_somewhere():
    """A guest runs each script: otherwise the test could never fail."""
    scripts = {path.stem for path in (lab.checkout() / "selftests").glob("*.sh")
               if path.stat().st_mode & 0o111}
    assert {test for boot in boots.BOOTS for test in boot.tests} == \
        scripts | {"crash", "kexec", "kselftest", "run"}


@pytest.mark.parametrize("name", __main__.COMMANDS)
def test_each_command_has_its_module(name):
    """The modules are imported only when their command is given."""
    assert callable(importlib.import_module(f"vtdlab.{__main__.COMMANDS[name][0]}").main)


def test_every_boot_that_a_test_names_exists():
    """The head of a test names no other boot, and each boot of tests has some."""
    named = {name.removesuffix("*") for names, _ in heads.read().values() for name in names}
    assert named == {boot.name for boot in (*boots.BOOTS, *boots.WHOLE) 
                     if boot.job == "tests"}


def test_what_is_short_is_whole_elsewhere():
    """Each test of a boot with short forms is whole in make check-units, on the machine of a server."""
    server, client = (boots.units([layout]) for layout in (machines.SERVER, machines.CLIENT))
    short = {test for boot in boots.BOOTS if boots.SHORT in boot.append for test in boot.tests}
    whole = {test for boot in server if boots.SHORT not in boot.append for test in boot.tests}
    assert {"units", "queue-errors"} <= short <= whole
    assert not {"units", "queue-errors"} & {test for boot in client for test in boot.tests}


def test_where_a_test_can_be_requested():
    """Tests that a guest has on a kernel that was not requested do not count."""
    assert boots.flavours_of("alloc-failures") == ["debug"]
    assert boots.flavours_of("domain") == ["test", "debug", "kcsan"]
    assert boots.flavours_of("no-such-test") == []


def test_each_boot_without_the_debug_kernel_has_a_reason():
    """A boot that is left out there is reported with a reason, and no other has one."""
    for boot in boots.BOOTS:
        assert bool(boot.left_out) == ("debug" not in boot.on), boot.name


def test_an_unknown_test_is_named_before_any_work():
    """It is refused before any kernel is built, with similar names and all valid names."""
    check.need_test("attack", lambda: pytest.fail("it is found without collecting"))
    check.need_test("words of pytest", lambda: ["one"])
    with pytest.raises(LabError, match=r"no test 'atack' \(did you mean attack.*there are adopted"):
        check.need_test("atack", list)


@pytest.mark.parametrize("name, value", [("GUESTS", "x"), ("FUZZ_SECONDS", "-1"), ("STRIDE", "0")])
def test_an_invalid_number_is_named_before_any_work(name, value):
    """A wrong number is one sentence, not a traceback after the kernels were built."""
    check.need_numbers({name: "3", "OTHER": "x"})
    with pytest.raises(LabError, match=f"{name}={value} is no number"):
        check.need_numbers({name: value})


def test_the_kernels_harness_has_patience():
    """The wait is changed in its one place; another harness is refused with a sentence."""
    text = vfio_selftests.patient(f"ret = {vfio_selftests.WAIT};\nif (ret == 0)\n")
    assert text == "ret = poll(&poll_child, 1, t->timeout * 1000 * 10);\nif (ret == 0)\n"
    for other in ("alarm(t->timeout);", vfio_selftests.WAIT * 2):
        with pytest.raises(LabError, match="does not wait by"):
            vfio_selftests.patient(other)


def test_every_wait_is_longer_where_the_kernel_is_slow():
    """Each wait for a condition is bounded by PATIENCE, and by nothing else."""
    top = lab.checkout()
    loop = re.compile(r"for (try|again) in |\btimeout |read -r -t ")
    wrong = [f"{path.relative_to(top)}:{number}: {line.strip()}"
             for path in [*(top / "selftests").rglob("*.sh"), *(top / "scripts/guest").glob("*")]
             if path.is_file()
             for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
             if loop.search(line) and not line.lstrip().startswith("#")
             and not re.search(r"PATIENCE|\$LIMIT|_TIMEOUT", line)]
    assert not wrong


@pytest.mark.parametrize("said, good", [
    ({}, True), ({"why": "can't create /proc/sys/vm/drop_caches: nonexistent directory"}, False),
    ({"result": "failed", "why": "no disk"}, False), ({"read": "other"}, False),
    ({"moved": "1"}, False)], ids=str)
def test_a_command_that_complains_has_failed(said, good):
    """Output of a successful command is a failure: the report would be wrong about caches."""
    words = {"kind": "disk", "result": "ok", "why": "", "wrote": "sum", "read": "sum",
             "bytes": "10", "moved": "10", **said}
    records = Records()
    line = " ".join(f'{name}="{value}"' for name, value in words.items())
    assert demo._judge_io(records.add(f"io {line}"), None, 1)[0] is good
