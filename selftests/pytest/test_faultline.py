# SPDX-License-Identifier: GPL-2.0
"""Fault lines that both drivers printed are decoded in the same words."""

import re

import pytest

from vtdlab import cache as lab
from vtdlab.evidence import faultline

WRITE = "the page is not mapped for writing (VT-d 7.1.3, reason 0x05)"

# Printed by vtd and by Linux 7.3's own driver in `make run`.
OURS = ("[   25.859987] vtd: dmar0: fault: device 0000:00:05.0 (driver vtd_attack, group 3, owner "
        "kernel) write of 0xffffd000 refused: the page is not mapped for writing (VT-d 7.1.3, "
        "reason 0x05), domain #4, domain-id 5 (DMA, strict); it was unmapped 100 ms ago, having been "
        "mapped for reading and writing 200 ms ago")
# The same as a record of /dev/kmsg and as a line of the journal.
RECORD = "3,594,25859987,-;" + OURS.partition("] ")[2]
JOURNAL = "Nov 30 06:00:00 host kernel: " + OURS.partition("] ")[2]
FAILED = ("[    8.156787] vtd: dmar0: fault: device 0000:00:05.0 (driver vtd_attack, group 3, owner "
          "kernel) read of 0xfffff000 refused: no device of its bus has been attached (root entry "
          "not present) (VT-d 7.1.3, reason 0x01), its unit failed earlier")
UNKNOWN = ("vtd: dmar0: fault: requester 0000:02:00.0, which is not a device of this driver, read of "
           "0x1000 refused: no device of its bus has been attached (root entry not present) "
           "(VT-d 7.1.3, reason 0x01)")
SHARED = ("vtd: dmar0: fault: requester 0000:02:00.0 (bridge 0000:00:09.0, shared by 6 devices: "
          "0000:02:01.0 driver vtd_attack, 0000:02:02.0 driver vtd_attack, 0000:02:03.0 no driver, "
          "0000:02:04.0 no driver, and 2 more, group 7, owner kernel) write of 0xffffd000 refused: "
          "the page is not mapped for writing (VT-d 7.1.3, reason 0x05), domain #4, domain-id 5 (DMA, "
          "strict); it was mapped for reading only 104 ms ago, and unmapped 4 ms ago")
FORGED = ("vtd: dmar0: fault: device 0000:00:05.0 (driver vtd_attack, group 3, owner kernel) "
          "interrupt request 0x2 refused: the interrupt remapping entry belongs to another source-id "
          "(VT-d 5.1.4.1, reason 0x26), entry 0x2 belongs to 0000:01:00.0 (driver nvme)")
COMPATIBLE = ("vtd: dmar0: fault: device 0000:00:05.0 (driver vtd_attack, group 3, owner kernel) "
              "interrupt request in compatibility format refused: compatibility-format interrupts "
              "are blocked (VT-d 5.1.4.1, reason 0x25), which is forged, or was set up before vtd "
              "was loaded")
IN_TREE = ("[   31.083125] DMAR: [DMA Write NO_PASID] Request device [0000:00:05.0] fault addr "
           "0xffffd000 [fault reason 0x05] PTE Write access is not set")
# Lines in the forms of other kernels.
SHORT = ("DMAR: [DMA Write NO_PASID] Request device [00:05.0] fault addr 0xffffe000 "
         "[fault reason 0x05] PTE Write access is not set")
DECIMAL = ("DMAR: [DMA Read] Request device [00:1f.2] fault addr fff00000 [fault reason 12] "
           "non-zero reserved fields in PTE")
NO_PASID = ("DMAR: [DMA Write] Request device [03:00.0] PASID ffffffff fault addr 0 "
            "[fault reason 02] Present bit in context entry is clear")
PASID = ("DMAR: [DMA Read PASID 0x1] Request device [6a:01.0] fault addr 0x7f05b000 "
         "[fault reason 0x71] SM: Present bit in first-level paging entry is clear")
INTERRUPT = ("DMAR: [INTR-REMAP] Request device [f0:1f.7] fault index 0x0 [fault reason 0x25] "
             "Blocked a compatibility format interrupt request")
OLD_INTERRUPT = ("DMAR: [INTR-REMAP] Request device [00:02.0] fault index 1c [fault reason 38] "
                 "Blocked an interrupt request due to source-id verification failure")


@pytest.mark.parametrize("line, bdf, access, address, reason, pasid", [
    (OURS, "0000:00:05.0", "write", 0xFFFFD000, 0x05, None),
    (RECORD, "0000:00:05.0", "write", 0xFFFFD000, 0x05, None),
    (JOURNAL, "0000:00:05.0", "write", 0xFFFFD000, 0x05, None),
    (FAILED, "0000:00:05.0", "read", 0xFFFFF000, 0x01, None),
    (UNKNOWN, "0000:02:00.0", "read", 0x1000, 0x01, None),
    (SHARED, "0000:02:00.0", "write", 0xFFFFD000, 0x05, None),
    (FORGED, "0000:00:05.0", "", 2, 0x26, None),
    (COMPATIBLE, "0000:00:05.0", "", None, 0x25, None),
    (IN_TREE, "0000:00:05.0", "write", 0xFFFFD000, 0x05, None),
    (SHORT, "0000:00:05.0", "write", 0xFFFFE000, 0x05, None),
    (DECIMAL, "0000:00:1f.2", "read", 0xFFF00000, 0x0C, None),
    (NO_PASID, "0000:03:00.0", "write", 0, 0x02, None),
    (PASID, "0000:6a:01.0", "read", 0x7F05B000, 0x71, 1),
    (INTERRUPT, "0000:f0:1f.7", "", 0, 0x25, None),
    (OLD_INTERRUPT, "0000:00:02.0", "", 0x1C, 0x26, None),
    ("vtd_dmar_fault sid 0x28 fault 5 addr 0xffffd000 write 1", "0000:00:05.0", "write",
     0xFFFFD000, 0x05, None),
], ids=["vtd", "vtd, a record", "vtd, the journal", "vtd, failed unit", "vtd, unknown requester", "vtd, shared requester ID",
        "vtd, forged interrupt", "vtd, interrupt in compatibility format",
        "in-tree 7.3", "without segment", "decimal reason", "no PASID, old form", "PASID", "interrupt", "interrupt, decimal",
        "QEMU's trace"])
def test_every_field_of_a_line_is_decoded(line, bdf, access, address, reason, pasid):
    """Every field of a line is decoded."""
    fault = faultline.decode(line)
    assert (fault.bdf, fault.access, fault.address, fault.reason, fault.pasid) == (
        bdf, access, address, reason, pasid)
    assert faultline.WORDS[reason] in str(fault) and f"reason {reason:#04x}" in str(fault)
    assert fault.cause


def test_faults_of_both_drivers_are_described_equally():
    """The same attack, reported by both drivers, gives the same words."""
    ours, theirs = faultline.decode(OURS), faultline.decode(IN_TREE)
    assert f"write of 0xffffd000 refused: {WRITE}" in str(ours)
    assert f"write of 0xffffd000 refused: {WRITE}" in str(theirs)


# As the in-tree driver names them (irq_remap_fault_reasons in drivers/iommu/intel/dmar.c).
OF_INTERRUPTS = {
    0x20: "Detected reserved fields in the decoded interrupt-remapped request",
    0x21: "Interrupt index exceeded the interrupt-remapping table size",
    0x22: "Present field in the IRTE entry is clear",
    0x23: "Error accessing interrupt-remapping table pointed by IRTA_REG",
    0x24: "Detected reserved fields in the IRTE entry",
    0x25: "Blocked a compatibility format interrupt request",
    0x26: "Blocked an interrupt request due to source-id verification failure",
}


@pytest.mark.parametrize("reason, theirs", OF_INTERRUPTS.items())
def test_refused_interrupts_of_both_drivers(reason, theirs):
    """Each reason, from each driver's line, gives the same words."""
    ours = (f"vtd: dmar0: fault: device 0000:00:05.0 interrupt request 0x2 refused: "
            f"{faultline.WORDS[reason]} (VT-d 5.1.4.1, reason {reason:#04x})")
    for code in (f"{reason:#04x}", f"{reason}"):
        line = (f"DMAR: [INTR-REMAP] Request device [00:05.0] fault index 0x2 [fault reason {code}] "
                f"{theirs}")
        assert str(faultline.decode(line)) == ours.partition("fault: ")[2]
    assert faultline.decode(ours).reason == reason


@pytest.mark.parametrize("line", [OURS, SHARED, FORGED, COMPATIBLE],
                         ids=["a device", "a shared requester ID", "a forged interrupt",
                              "compatibility format"])
def test_a_line_of_vtd_is_printed_unchanged(line):
    """The text after the prefix is printed unchanged."""
    assert str(faultline.decode(line)) == line.partition("fault: ")[2]


def test_the_words_equal_those_of_the_driver():
    """Codes, words and sections equal those of src/core/describe/fault.rs."""
    core = lab.checkout() / "src/core"
    described = (core / "describe/fault.rs").read_text(encoding="utf-8")
    found = dict(re.findall(r'^\s+(0x[0-9a-f]+) => "([^"]+)",$', described, re.M))
    assert {int(code, 16): words for code, words in found.items()} == faultline.WORDS
    assert faultline.UNKNOWN in described
    source = (core / "spec/fault.rs").read_text(encoding="utf-8")
    assert set(re.findall(r'=> "([0-9.]+)",', source)) == {
        faultline.section(code) for code in range(256)}


@pytest.mark.parametrize("line, words", [
    ("DMAR: DRHD: handling fault status reg 2", "fault records are filled (PPF)"),
    ("DMAR: DRHD: handling fault status reg 3", "fault records were lost (PFO)"),
    ("DMAR: DRHD: handling fault status reg 40", "a device did not answer an invalidation (ITE)"),
    ("DMAR: VT-d detected Invalidation Queue Error: Reason f", "invalid descriptor"),
    ("DMAR: VT-d detected Invalidation Time-out Error: SID 100", "device 0000:01:00.0"),
    ("DMAR: QI HEAD: IOTLB Invalidation qw0 = 0x30032, qw1 = 0xffffd003",
     "invalidate IOTLB of domain-id 3, 8 pages from 0xffffd000"),
    ("vtd: dmar0: fault: 50 more faults of 0000:00:06.0 were not logged", "50 more faults of 0000:00:06.0"),
    ("vtd: dmar0: its invalidation queue is stuck at descriptor 4; every device behind it is "
     "blocked from now on: reload vtd or reboot to use them again", "is stuck"),
], ids=["PPF", "PFO", "ITE", "queue error", "time-out of a device", "descriptor", "suppressed",
        "failed"])
def test_other_lines_about_faults(line, words):
    """Lines that report no refused request are explained, too."""
    assert words in str(faultline.decode(line))


@pytest.mark.parametrize("line", [
    "", "DMAR: Host address width 48", "vtd: dmar0: translation is on",
    "nvme nvme0: I/O tag 1 timeout", "DMAR: dmar0: Using Queued invalidation"])
def test_other_lines_are_ignored(line):
    """Lines that are not about faults are ignored."""
    assert faultline.decode(line) is None
