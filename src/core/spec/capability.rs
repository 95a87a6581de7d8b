// SPDX-License-Identifier: GPL-2.0

//! The capability and extended capability registers (VT-d 11.4.2, 11.4.3).

use super::bits::{bit, field};
use super::level::{AddressWidth, PageSize};

/// The value of `CAP`, and whether RWBF counts as set although the register does not have it set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability(u64, bool);

/// Declares accessors of single bits.
macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident: $bit:literal;)*) => {
        $(
            $(#[$doc])*
            pub const fn $name(self) -> bool {
                bit(self.0, $bit)
            }
        )*
    };
}

impl Capability {
    /// Creates it from the value read from the register.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw, false)
    }

    /// Returns the same capabilities with RWBF set, whatever the register holds.
    pub const fn with_write_buffer_flush(self) -> Self {
        Self(self.0, true)
    }

    /// Returns the value read from the register.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Returns whether the write buffer must be flushed after changes to tables in memory (RWBF).
    /// Some chipsets need that but do not report it.
    pub const fn needs_write_buffer_flush(self) -> bool {
        bit(self.0, 4) || self.1
    }

    /// Returns how many domain-ids the unit has (ND), or `None` for the reserved code 7.
    ///
    /// Identifiers are 0 to this number minus 1. 0 is reserved where
    /// [`caching_mode`](Self::caching_mode) is set.
    pub const fn domain_count(self) -> Option<u32> {
        match field(self.0, 2, 0) {
            7 => None,
            code => Some(1 << (4 + 2 * code as u32)),
        }
    }

    /// Returns whether SAGAW has tables of this width.
    pub const fn supports(self, width: AddressWidth) -> bool {
        field(self.0, 12, 8) & (1 << width.code()) != 0
    }

    /// Returns the widest table that the unit walks, or `None` if SAGAW has none (DMA translation
    /// is absent, as with QEMU's `dma-translation=off`).
    pub fn widest(self) -> Option<AddressWidth> {
        AddressWidth::WIDEST_FIRST
            .into_iter()
            .find(|width| self.supports(*width))
    }

    /// Returns the bits of input address that the unit takes (MGAW), 1 to 64.
    pub const fn input_bits(self) -> u32 {
        field(self.0, 21, 16) as u32 + 1
    }

    /// Returns whether leaves of this size are allowed (SSLPS, formerly SLLPS).
    pub const fn has_page_size(self, size: PageSize) -> bool {
        match size {
            PageSize::Size4K => true,
            PageSize::Size2M => bit(self.0, 34),
            PageSize::Size1G => bit(self.0, 35),
        }
    }

    /// Returns the sizes of all pages that the unit can map, each as a bit: the form of the
    /// kernel's `pgsize_bitmap`.
    pub fn page_sizes(self) -> u64 {
        [PageSize::Size4K, PageSize::Size2M, PageSize::Size1G]
            .into_iter()
            .filter(|size| self.has_page_size(*size))
            .fold(0, |sizes, size| sizes | size.bytes())
    }

    /// Returns the offset of the first fault recording register in bytes (FRO).
    pub const fn fault_record_offset(self) -> u32 {
        field(self.0, 33, 24) as u32 * 16
    }

    /// Returns the number of fault recording registers (NFR), 1 to 256.
    pub const fn fault_record_count(self) -> u32 {
        field(self.0, 47, 40) as u32 + 1
    }

    /// Returns the largest address mask of a page-selective invalidation, which then covers
    /// `2^MAMV` pages (MAMV). Meaningful only with [`page_selective`](Self::page_selective).
    pub const fn max_address_mask(self) -> u8 {
        field(self.0, 53, 48) as u8
    }

    flags! {
        /// AFL: advanced fault logging.
        advanced_fault_logging: 3;
        /// PLMR: protected low memory region.
        protected_low_memory: 5;
        /// PHMR: protected high memory region.
        protected_high_memory: 6;
        /// CM: caching mode. Hardware may also cache entries that are not present; a virtual unit
        /// that shadows tables does.
        caching_mode: 7;
        /// ZLR: zero-length reads to write-only pages are allowed.
        zero_length_read: 22;
        /// PSI: page-selective IOTLB invalidation.
        page_selective: 39;
        /// DWD: IOTLB invalidation can drain writes.
        drains_writes: 54;
        /// DRD: IOTLB invalidation can drain reads.
        drains_reads: 55;
        /// FS1GP: 1 GiB pages in first-stage tables.
        first_stage_1g: 56;
        /// PI: posted interrupts.
        posted_interrupts: 59;
        /// FS5LP: 5-level first-stage tables.
        first_stage_5_levels: 60;
        /// ECMDS: the enhanced command register exists.
        enhanced_commands: 61;
        /// ESIRTPS: setting the interrupt table invalidates the interrupt entry cache.
        interrupt_table_invalidates: 62;
        /// ESRTPS: setting the root table invalidates all caches.
        root_table_invalidates: 63;
    }
}

/// The value of `ECAP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct ExtendedCapability(u64);

impl ExtendedCapability {
    /// Creates it from the value read from the register.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Returns the value read from the register.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Returns the offset of the IOTLB registers in bytes (IRO).
    pub const fn iotlb_offset(self) -> u32 {
        field(self.0, 17, 8) as u32 * 16
    }

    /// Returns the largest index mask of an interrupt entry cache invalidation (MHMV).
    pub const fn max_handle_mask(self) -> u8 {
        field(self.0, 23, 20) as u8
    }

    /// Returns the bits of PASID that the unit supports (PSS), 1 to 32. Meaningful only with
    /// [`pasid`](Self::pasid).
    pub const fn pasid_bits(self) -> u32 {
        field(self.0, 39, 35) as u32 + 1
    }

    flags! {
        /// C: page walks are coherent with processor caches; where clear, tables must be
        /// flushed from the caches before hardware reads them.
        coherent_walk: 0;
        /// QI: queued invalidation.
        queued_invalidation: 1;
        /// DT: device-TLBs.
        device_tlb: 2;
        /// IR: interrupt remapping.
        interrupt_remapping: 3;
        /// EIM: 32-bit APIC identifiers in remapped interrupts.
        extended_interrupt_mode: 4;
        /// PT: pass-through context entries.
        pass_through: 6;
        /// SC: snoop control in second-stage entries.
        snoop_control: 7;
        /// MTS: memory types in extended entries.
        memory_type: 25;
        /// NEST: nested translation.
        nested: 26;
        /// PRS: page requests.
        page_request: 29;
        /// ERS: execute requests.
        execute_request: 30;
        /// SRS: supervisor requests.
        supervisor_request: 31;
        /// NWFS: no-write flag in requests.
        no_write_flag: 33;
        /// EAFS: extended accessed flag.
        extended_accessed: 34;
        /// PASID: process address space identifiers.
        pasid: 40;
        /// DIT: device-TLB invalidation throttling.
        device_tlb_throttle: 41;
        /// PDS: page-request drain.
        page_request_drain: 42;
        /// SMTS: scalable mode.
        scalable_mode: 43;
        /// VCS: virtual commands.
        virtual_command: 44;
        /// SSADS: accessed and dirty flags in second-stage entries.
        second_stage_dirty: 45;
        /// SSTS: second-stage translation in scalable mode.
        second_stage: 46;
        /// FSTS: first-stage translation in scalable mode.
        first_stage: 47;
        /// SMPWCS: coherent walks of scalable-mode structures.
        scalable_coherent_walk: 48;
        /// RPS: RID-PASID in the context entry.
        rid_pasid: 49;
        /// PMS: performance monitoring.
        performance_monitoring: 51;
        /// ADMS: abort-DMA mode.
        abort_dma: 52;
    }
}
