// SPDX-License-Identifier: GPL-2.0

//! Lines of both drivers, of several kernels.

use super::*;

fn fault(line: &str) -> Fault {
    match Decoder::new().decode(line) {
        Some(Line::Fault(fault)) => fault,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn every_form_compiles() {
    assert_eq!(Decoder::new().len(), 9);
}

#[test]
fn requests() {
    for (line, bdf, access, address, reason, pasid) in [
        (
            "[   25.859987] vtd: dmar0: fault: device 0000:00:05.0 (driver vtd_attack, group 3, \
             owner kernel) write of 0xffffd000 refused: the page is not mapped for writing (VT-d \
             7.1.3, reason 0x05), domain-id 5 (DMA, strict); it was unmapped 100 ms ago",
            "0000:00:05.0", "write", 0xffff_d000, 0x05, None,
        ),
        (
            "vtd: dmar0: fault: requester 0000:02:00.0, which is not a device of this driver, read \
             of 0x1000 refused: no device of its bus has been attached (root entry not present) \
             (VT-d 7.1.3, reason 0x01)",
            "0000:02:00.0", "read", 0x1000, 0x01, None,
        ),
        (
            "[   31.083125] DMAR: [DMA Write NO_PASID] Request device [0000:00:05.0] fault addr \
             0xffffd000 [fault reason 0x05] PTE Write access is not set",
            "0000:00:05.0", "write", 0xffff_d000, 0x05, None,
        ),
        (
            "DMAR: [DMA Read] Request device [00:1f.2] fault addr fff00000 [fault reason 12] \
             non-zero reserved fields in PTE",
            "0000:00:1f.2", "read", 0xfff0_0000, 0x0c, None,
        ),
        (
            "DMAR: [DMA Write] Request device [03:00.0] PASID ffffffff fault addr 0 [fault reason \
             02] Present bit in context entry is clear",
            "0000:03:00.0", "write", 0, 0x02, None,
        ),
        (
            "DMAR: [DMA Read PASID 0x1] Request device [6a:01.0] fault addr 0x7f05b000 [fault \
             reason 0x71] SM: Present bit in first-level paging entry is clear",
            "0000:6a:01.0", "read", 0x7f05_b000, 0x71, Some(1),
        ),
        (
            "DMAR: [INTR-REMAP] Request device [00:02.0] fault index 1c [fault reason 38] Blocked \
             an interrupt request due to source-id verification failure",
            "0000:00:02.0", "", 0x1c, 0x26, None,
        ),
        (
            "vtd_dmar_fault sid 0x28 fault 5 addr 0xffffd000 write 1",
            "0000:00:05.0", "write", 0xffff_d000, 0x05, None,
        ),
    ] {
        let found = fault(line);
        assert_eq!(found.bdf.to_string(), bdf, "{line}");
        assert_eq!(
            (found.access.as_str(), found.address, found.reason, found.pasid),
            (access, Some(address), Some(reason), pasid),
            "{line}"
        );
    }
}

#[test]
fn interrupt_requests() {
    const REASONS: [(u64, &str, &str); 7] = [
        (
            0x20,
            "Detected reserved fields in the decoded interrupt-remapped request",
            "reserved bits are set in the remappable interrupt request",
        ),
        (
            0x21,
            "Interrupt index exceeded the interrupt-remapping table size",
            "the interrupt index is beyond the remapping table",
        ),
        (
            0x22,
            "Present field in the IRTE entry is clear",
            "the interrupt remapping entry is not present",
        ),
        (
            0x23,
            "Error accessing interrupt-remapping table pointed by IRTA_REG",
            "the interrupt remapping table could not be read",
        ),
        (
            0x24,
            "Detected reserved fields in the IRTE entry",
            "reserved bits are set in the interrupt remapping entry",
        ),
        (
            0x25,
            "Blocked a compatibility format interrupt request",
            "compatibility-format interrupts are blocked",
        ),
        (
            0x26,
            "Blocked an interrupt request due to source-id verification failure",
            "the interrupt remapping entry belongs to another source-id",
        ),
    ];
    for (reason, in_tree, words) in REASONS {
        let wanted = format!(
            "device 0000:00:05.0 interrupt request 0x2 refused: {words} (VT-d 5.1.4.1, reason {reason:#04x})"
        );
        // Kernels before 7.3 print the code in decimal.
        for code in [format!("{reason:#04x}"), reason.to_string()] {
            let line = format!(
                "DMAR: [INTR-REMAP] Request device [00:05.0] fault index 0x2 [fault reason {code}] {in_tree}"
            );
            assert_eq!(fault(&line).words(), wanted);
        }
        let line = format!(
            "vtd: dmar0: fault: device 0000:00:05.0 interrupt request 0x2 refused: {words} (VT-d 5.1.4.1, reason {reason:#04x})"
        );
        assert_eq!(fault(&line).words(), wanted);
    }
}

#[test]
fn an_interrupt_request_in_compatibility_format() {
    let words =
        "device 0000:00:05.0 (driver vtd_attack, group 11, owner kernel) interrupt request in \
                 compatibility format refused: compatibility-format interrupts are blocked (VT-d \
                 5.1.4.1, reason 0x25), which is forged, or was set up before vtd was loaded";
    let found = fault(&format!("[   12.5] vtd: dmar0: fault: {words}"));
    assert_eq!((found.address, found.reason), (None, Some(0x25)));
    assert_eq!(found.words(), words);
    assert!(found.cause().ends_with("or forged"));
}

#[test]
fn both_drivers_in_the_same_words() {
    let words = "write of 0xffffd000 refused: the page is not mapped for writing (VT-d 7.1.3, \
                 reason 0x05)";
    for line in [
        "vtd: dmar0: fault: device 0000:00:05.0 write of 0xffffd000 refused: words (VT-d 7.1.3, \
         reason 0x05)",
        "DMAR: [DMA Write NO_PASID] Request device [00:05.0] fault addr 0xffffd000 [fault reason \
         0x05] PTE Write access is not set",
    ] {
        assert_eq!(fault(line).words(), format!("device 0000:00:05.0 {words}"));
        assert_eq!(fault(line).cause(), DRIVER);
    }
}

#[test]
fn other_lines_about_faults() {
    for (line, part) in [
        (
            "DMAR: DRHD: handling fault status reg 2",
            "fault records are filled (PPF)",
        ),
        (
            "DMAR: DRHD: handling fault status reg 42",
            "(ITE), fault records",
        ),
        (
            "DMAR: VT-d detected Invalidation Time-out Error: SID 300",
            "device 0000:03:00.0",
        ),
        (
            "DMAR: QI HEAD: IOTLB Invalidation qw0 = 0x500f2, qw1 = 0xffffe040",
            "domain-id 5, 1 page at 0xffffe000",
        ),
        (
            "vtd: dmar0: fault: 7 more faults of 0000:00:05.0 were not logged",
            "7 more faults",
        ),
        (
            "[ 9.1] vfio-pci 0000:03:00.0: Device is ineligible for IOMMU domain attach due to \
             platform RMRR requirement.  Contact your platform vendor.",
            "vfio-pci 0000:03:00.0: Device is ineligible",
        ),
        (
            "DMAR: [Firmware Bug]: RMRR entry for device 02:00.0 is broken",
            "Firmware Bug",
        ),
    ] {
        let found = Decoder::new().decode(line).expect(line);
        assert!(found.words().contains(part), "{}", found.words());
    }
    for line in [
        "",
        "usb 1-1: new device",
        "DMAR: Host address width 39",
        "vtd: dmar0: ready",
    ] {
        assert_eq!(Decoder::new().decode(line), None, "{line}");
    }
}

#[test]
fn hostile_lines_are_no_faults() {
    let huge = format!("DMAR: {}", "[".repeat(1 << 20));
    let wide = "DMAR: [DMA Read] Request device [00:1f.2] fault addr ffffffffffffffffff";
    for line in [
        &huge,
        wide,
        "DMAR: \u{fffd}\u{fffd}",
        "vtd: x: fault: device é",
    ] {
        let _ = Decoder::new().decode(line);
    }
    assert_eq!(Decoder::new().decode(wide), None);
}
