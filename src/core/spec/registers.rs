// SPDX-License-Identifier: GPL-2.0

//! The offsets of a remapping unit's registers (VT-d 11.4).
//!
//! The type of an offset contains the width of its register. The kernel layer has one accessor per
//! width, so an access of the wrong width does not compile.

use super::address::{PhysAddr, PAGE_SIZE};
use super::capability::{Capability, ExtendedCapability};

/// The offset of a 32-bit register in bytes from the unit's register base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reg32(u16);

/// The offset of a 64-bit register in bytes from the unit's register base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reg64(u16);

impl Reg32 {
    /// Returns the offset from the register base in bytes, a multiple of 4.
    pub const fn offset(self) -> usize {
        self.0 as usize
    }
}

impl Reg64 {
    /// Returns the offset from the register base in bytes, a multiple of 8.
    pub const fn offset(self) -> usize {
        self.0 as usize
    }
}

/// Version: major in bits 7:4, minor in bits 3:0 (11.4.1).
pub const VER: Reg32 = Reg32(0x00);
/// Capabilities (11.4.2).
pub const CAP: Reg64 = Reg64(0x08);
/// Extended capabilities (11.4.3).
pub const ECAP: Reg64 = Reg64(0x10);
/// Global command, write-only (11.4.4).
pub const GCMD: Reg32 = Reg32(0x18);
/// Global status, read-only.
pub const GSTS: Reg32 = Reg32(0x1c);
/// Root table address.
pub const RTADDR: Reg64 = Reg64(0x20);
/// Context command: register-based context-cache invalidation.
pub const CCMD: Reg64 = Reg64(0x28);
/// Fault status.
pub const FSTS: Reg32 = Reg32(0x34);
/// Fault event control.
pub const FECTL: Reg32 = Reg32(0x38);
/// Fault event data: the low half of the MSI's data.
pub const FEDATA: Reg32 = Reg32(0x3c);
/// Fault event address: bits 31:2 of the MSI's address.
pub const FEADDR: Reg32 = Reg32(0x40);
/// Fault event upper address: bits 63:32 of the MSI's address.
pub const FEUADDR: Reg32 = Reg32(0x44);
/// Protected memory enable; present if `CAP.PLMR` or `CAP.PHMR`.
pub const PMEN: Reg32 = Reg32(0x64);
/// Protected low memory base.
pub const PLMBASE: Reg32 = Reg32(0x68);
/// Protected low memory limit.
pub const PLMLIMIT: Reg32 = Reg32(0x6c);
/// Protected high memory base.
pub const PHMBASE: Reg64 = Reg64(0x70);
/// Protected high memory limit.
pub const PHMLIMIT: Reg64 = Reg64(0x78);
/// Invalidation queue head, written by hardware.
pub const IQH: Reg64 = Reg64(0x80);
/// Invalidation queue tail, written by software.
pub const IQT: Reg64 = Reg64(0x88);
/// Invalidation queue address.
pub const IQA: Reg64 = Reg64(0x90);
/// Invalidation completion status; bit 0 is IWC.
pub const ICS: Reg32 = Reg32(0x9c);
/// Invalidation completion event control.
pub const IECTL: Reg32 = Reg32(0xa0);
/// Invalidation completion event data.
pub const IEDATA: Reg32 = Reg32(0xa4);
/// Invalidation completion event address.
pub const IEADDR: Reg32 = Reg32(0xa8);
/// Invalidation completion event upper address.
pub const IEUADDR: Reg32 = Reg32(0xac);
/// Invalidation queue error record (11.4.9.9); zero on units that lack it.
pub const IQERCD: Reg64 = Reg64(0xb0);
/// Interrupt remapping table address; present if `ECAP.IR`.
pub const IRTA: Reg64 = Reg64(0xb8);
/// Page request queue head; this and the following registers are present if `ECAP.PRS`.
pub const PQH: Reg64 = Reg64(0xc0);
/// Page request queue tail.
pub const PQT: Reg64 = Reg64(0xc8);
/// Page request queue address.
pub const PQA: Reg64 = Reg64(0xd0);
/// Page request status.
pub const PRS: Reg32 = Reg32(0xdc);
/// Page request event control.
pub const PECTL: Reg32 = Reg32(0xe0);
/// Page request event data.
pub const PEDATA: Reg32 = Reg32(0xe4);
/// Page request event address.
pub const PEADDR: Reg32 = Reg32(0xe8);
/// Page request event upper address.
pub const PEUADDR: Reg32 = Reg32(0xec);

/// `PMEN.EPM`: enable the protected memory regions.
pub const PMEN_EPM: u32 = 1 << 31;
/// `PMEN.PRS`: the regions are enabled.
pub const PMEN_PRS: u32 = 1 << 0;
/// `FECTL.IM`: the fault event interrupt is masked.
pub const FECTL_IM: u32 = 1 << 31;
/// `FECTL.IP`: a fault event is pending behind the mask.
pub const FECTL_IP: u32 = 1 << 30;
/// `ICS.IWC`: an invalidation wait with its interrupt flag has completed.
pub const ICS_IWC: u32 = 1 << 0;

/// Returns `VER` as `(major, minor)`.
pub const fn version(ver: u32) -> (u8, u8) {
    let ver = ver as u8;
    (ver >> 4, ver & 0xf)
}

/// The kind of tables that a unit walks (TTM, bits 11:10 of `RTADDR`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TranslationTableMode {
    /// 00: a context entry leads to the second stage of a requester.
    Legacy,
    /// 01: a context entry leads to a PASID table, whose entries lead to both stages
    /// (`ECAP.SMTS`). Invalidations need the queue.
    Scalable,
}

/// Returns the value of `RTADDR` for a root table of this mode, or `None` if it is not page aligned.
pub const fn root_table_address(table: PhysAddr, mode: TranslationTableMode) -> Option<u64> {
    if !table.is_page_aligned() {
        return None;
    }
    Some(match mode {
        TranslationTableMode::Legacy => table.raw(),
        TranslationTableMode::Scalable => table.raw() | 1 << 10,
    })
}

/// The two halves of one fault recording register (11.4.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultRecordRegisters {
    /// Bits 63:0: the address.
    pub low: Reg64,
    /// Bits 127:64: source, reason and the F flag, which is cleared by writing 1.
    pub high: Reg64,
}

/// Returns the fault recording register `index`, or `None` if the unit does not have it.
pub const fn fault_record(cap: Capability, index: u32) -> Option<FaultRecordRegisters> {
    if index >= cap.fault_record_count() {
        return None;
    }
    // At most (1023 + 255) * 16 + 8: far below the end of a u16.
    let low = (cap.fault_record_offset() + index * 16) as u16;
    Some(FaultRecordRegisters {
        low: Reg64(low),
        high: Reg64(low + 8),
    })
}

/// The two IOTLB registers; their offset depends on the unit (11.4.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IotlbRegisters {
    /// `IVA`: invalidate address, which software writes before `IOTLB`.
    pub address: Reg64,
    /// `IOTLB`: invalidate command.
    pub command: Reg64,
}

/// Returns the unit's IOTLB registers.
pub const fn iotlb(ecap: ExtendedCapability) -> IotlbRegisters {
    // At most 1023 * 16 + 8.
    let address = ecap.iotlb_offset() as u16;
    IotlbRegisters {
        address: Reg64(address),
        command: Reg64(address + 8),
    }
}

/// Returns the bytes of register space that this driver accesses on the unit, in whole 4 KiB pages:
/// at least one page, at most 24 KiB.
///
/// `CAP` and `ECAP` hold the offsets of the fault recording and IOTLB registers, so the driver maps
/// the first page to find the size of the rest.
pub const fn register_bytes(cap: Capability, ecap: ExtendedCapability) -> u64 {
    let faults = cap.fault_record_offset() + cap.fault_record_count() * 16;
    let iotlb = ecap.iotlb_offset() + 16;
    let end = if faults > iotlb { faults } else { iotlb };
    (end as u64).div_ceil(PAGE_SIZE) * PAGE_SIZE
}
