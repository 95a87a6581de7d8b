// SPDX-License-Identifier: GPL-2.0

//! Fault records and the texts of the fault reasons.

use std::collections::HashSet;
use vtd_core::describe::fault::RefusalText;
use vtd_core::spec::address::{Iova, SourceId};
use vtd_core::spec::fault::{
    FaultClass, FaultReason, FaultRecord, FaultRequest, RecordHalf, FRCD_F,
};
use vtd_core::spec::level::Stage;
use vtd_core::spec::pte::Access;

#[test]
fn a_record_decodes_as_computed_by_hand() {
    let record = FaultRecord::decode(0xabc_de12, 0xc000_0006_0000_0028).unwrap();
    assert_eq!(record.source, SourceId::new(0, 5, 0).unwrap());
    assert_eq!(record.request, FaultRequest::Read);
    assert_eq!(record.reason.code(), 6);
    assert_eq!(record.pasid, None);
    assert_eq!(record.address(), Iova::new(0xabc_d000));
    assert_eq!(record.interrupt_index(), None);
    assert_eq!(
        record.to_string(),
        "DMA read of 0xabcd000 by 00:05.0 refused: the page is not mapped for reading (reason 0x6)"
    );
}

#[test]
fn both_type_bits_distinguish_the_request() {
    let request = |bits| FaultRecord::decode(0, FRCD_F | bits).unwrap().request;
    assert_eq!(request(0), FaultRequest::Write);
    assert_eq!(request(1 << 62), FaultRequest::Read);
    assert_eq!(request(1 << 28), FaultRequest::PageRequest);
    assert_eq!(request((1 << 62) | (1 << 28)), FaultRequest::Atomic);
}

#[test]
fn an_execute_request_needs_a_pasid() {
    let request = |bits| FaultRecord::decode(0, FRCD_F | bits).unwrap().request;
    let (read, execute, pasid) = (1 << 62, 1 << 30, 1 << 31);
    assert_eq!(request(read | execute | pasid), FaultRequest::Execute);
    assert_eq!(request(read | execute), FaultRequest::Read);
    assert_eq!(request(execute | pasid), FaultRequest::Write);
}

#[test]
fn reasons_of_interrupt_requests_are_in_another_section() {
    assert_eq!(FaultReason::new(0x5).section(), "7.1.3");
    assert_eq!(FaultReason::new(0x22).section(), "5.1.4.1");
    assert_eq!(FaultReason::new(0x5a).section(), "7.1.3");
}

#[test]
fn an_empty_record_is_no_fault() {
    assert_eq!(FaultRecord::decode(u64::MAX, u64::MAX >> 1), None);
}

/// A record that held one fault, was cleared, and is filled with another one before the n-th read.
#[test]
fn a_record_that_is_filled_concurrently_is_read_whole_or_not_at_all() {
    let old = (0x1111_1000, 0x0000_0006_0000_0028);
    let new = (0x2222_2000, FRCD_F | 0x0000_0005_0000_0030);
    for filled_before in 0..3 {
        let mut reads = 0;
        let record = FaultRecord::read(|half| {
            let (low, high) = if reads >= filled_before { new } else { old };
            reads += 1;
            match half {
                RecordHalf::Low => low,
                RecordHalf::High => high,
            }
        });
        let whole = FaultRecord::decode(new.0, new.1);
        assert!(
            record.is_none() || record == whole,
            "filled before read {filled_before}: {record:?}"
        );
        assert_eq!(record.is_some(), filled_before == 0);
    }
}

#[test]
fn a_pasid_counts_only_if_present() {
    let with = FaultRecord::decode(0, FRCD_F | (0x12345 << 40) | (1 << 31)).unwrap();
    assert_eq!(with.pasid, Some(0x12345));
    assert!(with.to_string().contains("(PASID 0x12345)"));
    assert_eq!(
        FaultRecord::decode(0, FRCD_F | (0x12345 << 40))
            .unwrap()
            .pasid,
        None
    );
}

#[test]
fn an_interrupt_fault_names_its_index() {
    let record = FaultRecord::decode(0x0042_0000_0000_0000, FRCD_F | (0x22 << 32) | 0x28).unwrap();
    assert_eq!(record.interrupt_index(), Some(0x42));
    assert!(record
        .to_string()
        .starts_with("interrupt 0x42 of 00:05.0 refused: "));
}

#[test]
fn a_blocked_interrupt_in_compatibility_format_names_no_index() {
    let record = FaultRecord::decode(0x0042_0000_0000_0000, FRCD_F | (0x25 << 32) | 0x28).unwrap();
    assert!(record.is_interrupt());
    assert_eq!(record.interrupt_index(), None);
    assert_eq!(
        record.to_string(),
        "interrupt in compatibility format of 00:05.0 refused: compatibility-format interrupts are \
         blocked (reason 0x25)"
    );
}

/// The codes for which the kernel's three tables have texts.
#[test]
fn every_known_reason_has_a_distinct_text() {
    let known: Vec<u8> = (0x1..=0xd)
        .chain(0x20..=0x26)
        .chain(0x30..=0x32)
        .chain(0x38..=0x3a)
        .chain(0x40..=0x48)
        .chain(0x50..=0x52)
        .chain(0x58..=0x5d)
        .chain(0x70..=0x7c)
        .chain(0x80..=0x87)
        .chain(0x90..=0x90)
        .collect();
    let mut words = HashSet::new();
    for code in 0..=0xff {
        let reason = FaultReason::new(code);
        assert_eq!(reason.is_known(), known.contains(&code), "{code:#x}");
        if reason.is_known() {
            assert!(
                words.insert(reason.description()),
                "{code:#x} shares its words"
            );
            let subject = match code {
                0..=0x1f => FaultClass::Dma,
                0x20..=0x2f => FaultClass::Interrupt,
                _ => FaultClass::ScalableDma,
            };
            assert_eq!(reason.class(), subject);
        } else {
            assert_eq!(reason.class(), FaultClass::Unknown);
            assert!(reason.to_string().ends_with(&format!("(reason {code:#x})")));
        }
    }
}

/// Of root entries, context entries and second-stage tables, QEMU reports the reasons of legacy mode in
/// scalable mode, too.
#[test]
fn a_refusal_says_what_the_specification_has_and_what_qemu_reports() {
    let qemu = |code, access, stage| {
        let reason = FaultReason::new(code);
        let legacy = reason.in_legacy_mode(access, stage);
        let text = RefusalText {
            reason,
            access,
            stage,
        };
        let said = format!("reason {code:#04x}");
        assert!(text.to_string().contains(&said), "{text}");
        if let Some(legacy) = legacy {
            let said = format!(", which QEMU reports as {:#04x})", legacy.code());
            assert!(text.to_string().ends_with(&said), "{text}");
        }
        legacy.map(FaultReason::code)
    };
    for access in [Access::Read, Access::Write] {
        for (scalable, legacy) in [(0x39, 1), (0x3a, 0xa), (0x41, 2), (0x42, 0xb)] {
            assert_eq!(qemu(scalable, access, None), Some(legacy));
        }
        for (scalable, legacy) in [(0x7a, 0xc), (0x84, 4)] {
            assert_eq!(qemu(scalable, access, Some(Stage::Second)), Some(legacy));
        }
        let refused = if access.writes() { 5 } else { 6 };
        for scalable in [0x79, 0x85, 0x86] {
            assert_eq!(qemu(scalable, access, Some(Stage::Second)), Some(refused));
        }
        // The entries between the context entry and the tables, and the first stage.
        for same in [0x51, 0x52, 0x59, 0x5a, 0x5b, 0x71, 0x72, 0x80, 0x85] {
            assert_eq!(qemu(same, access, Some(Stage::First)), None);
        }
        for legacy in 1..=0xc {
            assert_eq!(qemu(legacy, access, Some(Stage::Second)), None);
        }
    }
    let read = RefusalText {
        reason: FaultReason::new(0x79),
        access: Access::Read,
        stage: Some(Stage::Second),
    };
    assert_eq!(
        read.to_string(),
        "the page is not mapped (second stage) (VT-d 7.1.3, reason 0x79, which QEMU reports as 0x06)"
    );
}

#[test]
fn what_a_device_may_cause_is_not_blamed_on_tables() {
    for code in [1, 2, 4, 5, 6, 0xd, 0x22, 0x25, 0x59, 0x79, 0x85, 0x86] {
        assert!(!FaultReason::new(code).is_caused_by_tables(), "{code:#x}");
    }
    for code in [3, 7, 8, 9, 0xa, 0xb, 0xc, 0x58, 0x5a, 0x7a] {
        assert!(FaultReason::new(code).is_caused_by_tables(), "{code:#x}");
    }
}
