// SPDX-License-Identifier: GPL-2.0

//! The TLBs of the devices behind a unit (ATS), as invalidations reach them.
//!
//! [`vtd_core::lockless::device_tlb`] has the rules. The list has each device behind the unit that
//! may use its TLB, from when it is probed until it is released.

use crate::unit::present_word::PresentWord;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::lock::IrqSpinLock;
use kernel_ext::pci::PciDevice;
use vtd_core::lockless::device_tlb::{self, DeviceEntry};

/// A device with a TLB, and its context entry.
pub(crate) struct TlbOwner {
    pub(super) device: PciDevice,
    pub(super) entry: PresentWord,
}

impl DeviceEntry for TlbOwner {
    fn is_gone(&self) -> bool {
        self.device.is_gone()
    }

    fn withdraw(&self) -> bool {
        self.entry.withdraw()
    }
}

/// The TLB of a device behind a unit.
pub(crate) type DeviceTlb = device_tlb::DeviceTlb<TlbOwner>;

/// The device-TLBs behind one unit. The lock is taken before that of the queue.
#[pin_data]
pub(crate) struct DeviceTlbs {
    #[pin]
    list: IrqSpinLock<KVec<Arc<DeviceTlb>>>,
}

impl DeviceTlbs {
    /// Creates an empty list.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- kernel_ext::new_irq_spinlock!(KVec::new(), c"vtd device-TLBs"),
        })
    }

    /// Adds a device-TLB.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(super) fn add(&self, tlb: &Arc<DeviceTlb>) -> Result {
        // Memory is allocated and freed without the lock.
        let mut room = KVec::new();
        let mut added = Some(tlb.clone());
        loop {
            let missing = self.list.with(|list| {
                if list.len() == list.capacity() {
                    if room.capacity() <= list.len() {
                        return Some(list.len() + 1);
                    }
                    core::mem::swap(list, &mut room);
                    for tlb in room.drain_all() {
                        let _ = list.push_within_capacity(tlb);
                    }
                }
                if let Some(tlb) = added.take() {
                    let _ = list.push_within_capacity(tlb);
                }
                None
            });
            let Some(missing) = missing else {
                return Ok(());
            };
            room = KVec::with_capacity(missing, GFP_KERNEL)?;
        }
    }

    /// Removes a device-TLB.
    pub(super) fn remove(&self, tlb: &Arc<DeviceTlb>) {
        let removed = self.list.with(|list| {
            let at = list.iter().position(|one| Arc::ptr_eq(one, tlb))?;
            list.remove(at).ok()
        });
        drop(removed);
    }

    /// Calls `work` with the list locked.
    pub(super) fn with<R>(&self, work: impl FnOnce(&[Arc<DeviceTlb>]) -> R) -> R {
        self.list.with(|list| work(list))
    }
}
