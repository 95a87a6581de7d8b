// SPDX-License-Identifier: GPL-2.0

//! The TLB of a device (ATS): which flushes reach it, and how a device that does not answer is cut
//! off.
//!
//! A device with a TLB sends requests with translated addresses, which a unit does not translate
//! again. All that the unit can do is refuse them: it does so if the context entry of the device is
//! not present.
//!
//! # Invariants
//!
//! - The tag of a domain is recorded from before a context entry lets the device use the domain's
//!   translations until after that entry was withdrawn and the unit has dropped it. So every flush
//!   of the domain in between reaches the TLB.
//! - After [`DeviceTlb::lose`], the context entry is not present, or the thread that has just written
//!   it finds the mark and withdraws it again ([`DeviceTlb::withdraw_if_lost`]). An invalidation of the
//!   context cache follows both times.
//! - No invalidation is submitted to a TLB that is lost: the mark is set, and read for that, with the
//!   list of the unit's device-TLBs locked.

use super::atomic::{fence, AtomicBool, AtomicU64, Ordering};
use crate::invalidation::{CacheTag, InvalidationRange};
use crate::spec::address::SourceId;
use crate::spec::invalidation::{DeviceTlbScope, Invalidation};

/// The maximum number of device-TLBs that an invalidation of one domain on one unit reaches.
pub const MAX_DEVICE_TLBS: usize = 32;

/// A device and its context entry in memory.
pub trait DeviceEntry {
    /// Returns whether the device was removed from its bus without notice, so that it answers nothing.
    ///
    /// # Context
    ///
    /// Any context.
    fn is_gone(&self) -> bool;

    /// Makes the entry not present, by one store, whatever it is. Returns whether it was present.
    ///
    /// # Context
    ///
    /// Any context.
    fn withdraw(&self) -> bool;
}

/// How invalidations address the TLB of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceTlbAddress {
    /// The requester ID of the device.
    pub source: SourceId,
    /// That of its physical function if the unit throttles by that (`ECAP.DIT`); else 0.
    pub physical_function: SourceId,
    /// The number of invalidations that the device takes at a time, at most 31; 0 means 32.
    pub queue_depth: u8,
}

/// The TLB of one device.
pub struct DeviceTlb<E> {
    address: DeviceTlbAddress,
    entry: E,
    /// The tags of the domain that the device is attached to, and of the one that it is leaving:
    /// [`CacheTag::packed`], or 0.
    tags: [AtomicU64; 2],
    is_lost: AtomicBool,
}

impl<E: DeviceEntry> DeviceTlb<E> {
    /// Creates the TLB of a device, whose context entry is `entry`. It is attached to nothing.
    pub fn new(address: DeviceTlbAddress, entry: E) -> Self {
        Self {
            address,
            entry,
            tags: [AtomicU64::new(0), AtomicU64::new(0)],
            is_lost: AtomicBool::new(false),
        }
    }

    /// Returns the requester ID of the device.
    pub fn source(&self) -> SourceId {
        self.address.source
    }

    /// Makes flushes of the domain with this tag reach the TLB. Returns false, and changes nothing, if
    /// the device has not left the domain before last. Callers exclude each other.
    pub fn join(&self, tag: CacheTag) -> bool {
        let free = |slot: &&AtomicU64| slot.load(Ordering::Relaxed) == 0;
        let Some(slot) = self.tags.iter().find(free) else {
            return false;
        };
        slot.store(tag.packed(), Ordering::SeqCst);
        true
    }

    /// Makes flushes of the domain with this tag no longer reach the TLB, after the unit has dropped
    /// the device's context entry. Returns whether they did. Callers exclude each other.
    pub fn leave(&self, tag: CacheTag) -> bool {
        let of_tag = |slot: &&AtomicU64| slot.load(Ordering::Relaxed) == tag.packed();
        let Some(slot) = self.tags.iter().find(of_tag) else {
            return false;
        };
        slot.store(0, Ordering::SeqCst);
        true
    }

    /// Returns whether flushes of the domain with this tag reach the TLB.
    pub fn has(&self, tag: CacheTag) -> bool {
        let mut tags = self.tags.iter();
        tags.any(|slot| slot.load(Ordering::SeqCst) == tag.packed())
    }

    /// Returns whether the device was cut off.
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::SeqCst)
    }

    /// Returns whether the device was removed from its bus without notice.
    ///
    /// # Context
    ///
    /// Any context.
    pub fn is_gone(&self) -> bool {
        self.entry.is_gone()
    }

    /// Cuts the device off: its context entry is not present from now on, and the caller invalidates
    /// the caches. Returns false if that was done before. The list of the unit's device-TLBs is locked.
    ///
    /// # Context
    ///
    /// Any context.
    pub fn lose(&self) -> bool {
        if self.is_lost.swap(true, Ordering::SeqCst) {
            return false;
        }
        fence(Ordering::SeqCst);
        self.entry.withdraw();
        true
    }

    /// Withdraws the context entry, which the caller may just have written, if the device was cut
    /// off. Returns whether it was present; the caller then invalidates the caches once more.
    pub fn withdraw_if_lost(&self) -> bool {
        fence(Ordering::SeqCst);
        self.is_lost() && self.entry.withdraw()
    }

    /// Makes a device usable again that was reset since it was cut off. Its context entry is not
    /// present, and the unit has dropped it.
    pub fn restore(&self) {
        self.is_lost.store(false, Ordering::SeqCst);
    }

    /// Returns the invalidation of what the device may have cached of `range`.
    pub fn invalidation(&self, range: InvalidationRange) -> Invalidation {
        Invalidation::DeviceTlb(DeviceTlbScope {
            source: self.address.source,
            physical_function: self.address.physical_function,
            queue_depth: self.address.queue_depth,
            pasid: None,
            block: range.block(),
        })
    }
}
