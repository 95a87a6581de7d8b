// SPDX-License-Identifier: GPL-2.0

//! The remapped interrupts of the devices behind one unit.
//!
//! A device is put under the unit's MSI domain when it is probed, before a driver allocates
//! interrupts for it, and taken from there when it is released.
//!
//! # Invariants
//!
//! A device in the list is under the unit's domain, and the unit remaps interrupts.

use super::topology::requesters_of;
use crate::unit::Unit;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel_ext::msi::{InterruptRemapping, Message, MsiParent, RemappedDevice, Target};
use kernel_ext::pci::PciDevice;
use kernel_ext::{log_dev_err, log_dev_warn};
use vtd_core::interrupt_policy::InterruptPolicy;
use vtd_core::spec::interrupt::{InterruptTarget, RemappableRequest, SourceCheck};

/// The table of one unit, as the MSI domain uses it.
pub(crate) struct UnitTable(Arc<Unit>);

impl InterruptRemapping for UnitTable {
    const NAME: &'static CStr = c"vtd-ir";

    fn number(&self) -> u32 {
        self.0.index() as u32
    }

    fn allocate(&self, device: &PciDevice, count: u32) -> Result<u16> {
        let requesters = requesters_of(device)?;
        let owner = *requesters.first().ok_or(ENODEV)?;
        let check = SourceCheck::of(&requesters).ok_or(ENODEV)?;
        self.0.take_interrupts(count, owner, check)
    }

    fn free(&self, first: u16, count: u32) {
        self.0.free_interrupts(first, count);
    }

    fn message(&self, first: u16, number: u16) -> Message {
        let RemappableRequest { address, data } = RemappableRequest::new(first, number);
        Message { address, data }
    }

    fn set_target(&self, index: u16, target: Target) {
        let target = InterruptTarget {
            vector: target.vector,
            destination: target.destination,
            logical: target.logical,
        };
        self.0.set_interrupt_target(index, target);
    }

    fn clear(&self, index: u16) {
        self.0.clear_interrupt(index);
    }
}

/// Logs that the interrupts of `device` are not remapped, as [`RemappedDevice::new`] found by
/// `error`. `refuses`: the unit lets no interrupt in compatibility format pass.
fn log_not_remapped(device: &PciDevice, error: Error, refuses: bool) {
    let device = device.as_device();
    match (error, refuses) {
        (EBUSY, true) => log_dev_warn!(
            device,
            "{device}: its interrupts were set up before vtd was loaded: they are not remapped, so \
             the unit refuses them, and users get the device only with allow_unsafe_interrupts. \
             Remove and rescan it"
        ),
        (EBUSY, false) => log_dev_warn!(
            device,
            "{device}: its interrupts were set up before vtd was loaded: they are not remapped. \
             Remove and rescan it"
        ),
        _ => log_dev_warn!(
            device,
            "{device}: its interrupts are not remapped, and users get it only with \
             allow_unsafe_interrupts: they are not allocated from the vectors of processors, but \
             from what a controller above it provides, as behind a volume management device (VMD). \
             Turn that controller off in firmware, if it is one"
        ),
    }
}

/// The remapped interrupts of the devices behind one unit.
#[pin_data]
pub(crate) struct DeviceInterrupts {
    /// How the unit is to treat interrupts.
    wanted: InterruptPolicy,
    /// Whether the unit does not let requests in compatibility format pass.
    no_compatibility: AtomicBool,
    /// The domain of its devices, if it remaps interrupts.
    parent: Option<Arc<MsiParent<UnitTable>>>,
    #[pin]
    devices: Mutex<KVec<(PciDevice, RemappedDevice<UnitTable>)>>,
}

impl DeviceInterrupts {
    /// Creates the domain for devices behind `unit`, if `policy` says that their interrupts are
    /// remapped.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails, or that of the irq core.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn new(unit: &Arc<Unit>, policy: InterruptPolicy) -> Result<Pin<KBox<Self>>> {
        let parent = match policy {
            InterruptPolicy::Off(_) => None,
            InterruptPolicy::Remapped(..) => {
                let table = Arc::new(UnitTable(unit.clone()), GFP_KERNEL)?;
                let parent = MsiParent::new(table, policy.is_isolated())?;
                Some(Arc::new(parent, GFP_KERNEL)?)
            }
        };
        KBox::pin_init(
            pin_init!(Self {
                wanted: policy,
                no_compatibility: AtomicBool::new(false),
                parent,
                devices <- new_mutex!(KVec::new(), "vtd remapped devices"),
            }),
            GFP_KERNEL,
        )
    }

    /// Turns interrupt remapping of `unit` on, if its interrupts are to be remapped.
    ///
    /// # Errors
    ///
    /// Those of [`Unit::enable_interrupt_remapping`].
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn enable(&self, unit: &Unit) -> Result {
        if let InterruptPolicy::Remapped(mode, compatibility) = self.wanted {
            let on = unit.enable_interrupt_remapping(mode, compatibility.is_some())?;
            self.no_compatibility.store(!on, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Returns how the unit treats interrupts.
    pub(crate) fn policy(&self) -> InterruptPolicy {
        match self.no_compatibility.load(Ordering::Relaxed) {
            true => self.wanted.without_compatibility(),
            false => self.wanted,
        }
    }

    /// Makes the interrupts of `device`, which has no driver, remapped. A device that has
    /// interrupts already, or whose interrupts are not allocated from the vector domain, stays where
    /// it is, and the log says so. VFIO and iommufd do not take it for isolated, because its domain
    /// is not.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn add(&self, device: &PciDevice) -> Result {
        let (Some(parent), InterruptPolicy::Remapped(..)) = (&self.parent, self.policy()) else {
            return Ok(());
        };
        let mut devices = self.devices.lock();
        devices.reserve(1, GFP_KERNEL)?;
        match RemappedDevice::new(parent.clone(), device.clone()) {
            Ok(remapped) => {
                let _ = devices.push_within_capacity((device.clone(), remapped));
            }
            Err(e) => log_not_remapped(device, e, self.policy().is_isolated()),
        }
        Ok(())
    }

    /// Returns whether the remapped interrupts of `device` exist, or a driver prepared for some.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn has_interrupts(&self, device: &PciDevice) -> bool {
        let devices = self.devices.lock();
        let mut of_device = devices.iter().filter(|(one, _)| one.is_same_as(device));
        of_device.any(|(_, remapped)| remapped.has_interrupts())
    }

    /// Ends what [`Self::add`] began, when a device is released.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn remove(&self, device: &PciDevice) {
        let mut devices = self.devices.lock();
        let Some(at) = devices.iter().position(|(one, _)| one.is_same_as(device)) else {
            return;
        };
        if let Ok((_, remapped)) = devices.remove(at) {
            if remapped.has_interrupts() {
                log_dev_err!(
                    device.as_device(),
                    "{}: it was released, but still has remapped interrupts: they do not arrive \
                     any more, and vtd cannot be unloaded any more",
                    device.as_device()
                );
            }
        }
    }
}
