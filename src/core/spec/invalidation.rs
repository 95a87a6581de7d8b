// SPDX-License-Identifier: GPL-2.0

//! What can be invalidated in a unit (VT-d 6.5).
//!
//! [`Invalidation`] says what, not how: [`InvalidationEncoder`](super::descriptor::InvalidationEncoder)
//! encodes it for the queue, and [`RegisterCommand`](super::command::RegisterCommand) for the
//! registers.

use super::address::{DomainId, Pasid, SourceId};
use super::scope::{ContextScope, IotlbScope, PageBlock};

/// An invalidation of a cache of a unit, or of a device behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Invalidation {
    /// Invalidates cached context entries (6.5.2.1).
    Context(ContextScope),
    /// Invalidates cached PASID entries (6.5.2.2). Scalable mode only.
    Pasid(PasidScope),
    /// Invalidates cached translations of a second stage (6.5.2.3).
    Iotlb(IotlbScope),
    /// Invalidates cached translations of a first stage, or of a nested one (6.5.2.4). Scalable mode
    /// only.
    PasidIotlb(PasidIotlbScope),
    /// Invalidates the TLB of a device (6.5.2.5, 6.5.2.6).
    DeviceTlb(DeviceTlbScope),
    /// Invalidates cached interrupt remapping entries (6.5.2.7).
    InterruptEntries(InterruptScope),
}

/// The scope of a PASID-cache invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PasidScope {
    /// Everything.
    Global,
    /// The entries tagged with a domain-id.
    Domain(DomainId),
    /// The entry of one PASID tagged with a domain-id.
    Pasid {
        /// The domain-id that the *cached* entry was tagged with.
        domain: DomainId,
        /// The PASID.
        pasid: Pasid,
    },
}

/// The scope of a PASID-based IOTLB invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PasidIotlbScope {
    /// All translations of one PASID tagged with a domain-id.
    Pasid {
        /// The tag.
        domain: DomainId,
        /// The PASID.
        pasid: Pasid,
    },
    /// Those of a block of pages. Units with scalable mode support any address mask.
    Pages {
        /// The tag.
        domain: DomainId,
        /// The PASID.
        pasid: Pasid,
        /// The pages.
        block: PageBlock,
        /// IH: no table was freed or replaced, so cached non-leaf entries may stay.
        leaves_only: bool,
    },
}

/// The scope of a device-TLB invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceTlbScope {
    /// The device.
    pub source: SourceId,
    /// PFSID: the physical function if `source` is a virtual function; else `source` itself.
    /// Reserved, so 0, unless the unit throttles by it (`ECAP.DIT`).
    pub physical_function: SourceId,
    /// MIP: the number of invalidations that the device takes at a time, at most 31; 0 means 32.
    pub queue_depth: u8,
    /// The address space of the device, or `None` for requests without PASID.
    pub pasid: Option<Pasid>,
    /// The pages; a mask of [`MAX_ADDRESS_MASK`](super::scope::MAX_ADDRESS_MASK) means all pages.
    pub block: PageBlock,
}

/// The scope of an interrupt entry cache invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InterruptScope {
    /// Everything.
    Global,
    /// `2^mask` entries from `index`.
    Entries {
        /// IIDX: the first entry.
        index: u16,
        /// IM: log2 of their number, at most 31.
        mask: u8,
    },
}
