// SPDX-License-Identifier: GPL-2.0

//! One IOMMU as the core and sysfs know it.

use super::operations::{Driver, Operations};
use crate::bindings;
use crate::sysfs::Group;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel::types::Opaque;

/// A unit in `/sys/class/iommu`, which can be registered with the core.
///
/// # Invariants
///
/// `device` is in sysfs as long as this lives; it is on the core's list while `operations` is
/// there. A device that was probed for it keeps it alive.
#[pin_data(PinnedDrop)]
pub struct Unit<D: Driver, T: Send + Sync + 'static> {
    #[pin]
    device: Opaque<bindings::iommu_device>,
    /// Whether devices may be probed for it.
    listed: AtomicBool,
    #[pin]
    operations: Mutex<Option<Arc<Operations<D>>>>,
    _attributes: Group<T>,
}

// SAFETY: The core guards its own fields; ours are atomic or constant.
unsafe impl<D: Driver, T: Send + Sync> Send for Unit<D, T> {}
// SAFETY: As above.
unsafe impl<D: Driver, T: Send + Sync> Sync for Unit<D, T> {}

impl<D: Driver, T: Send + Sync + 'static> Unit<D, T> {
    /// Puts a unit called `name` into sysfs, with `attributes`. Process context.
    pub fn new(name: &CStr, attributes: Group<T>) -> Result<Arc<Self>> {
        let unit = Arc::pin_init(
            pin_init!(Self {
                device <- Opaque::ffi_init(|slot: *mut bindings::iommu_device| {
                    // SAFETY: `slot` is memory for the structure.
                    unsafe { slot.write(bindings::iommu_device::default()) }
                }),
                listed: AtomicBool::new(false),
                operations <- new_mutex!(None, "iommu unit operations"),
                _attributes: attributes,
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: The structure and the group live until `drop`, which takes them out of sysfs.
        let added = unsafe {
            bindings::vtd_helper_iommu_sysfs_add(
                unit.device.get(),
                unit._attributes.as_list(),
                name.as_char_ptr(),
            )
        };
        if added != 0 {
            // INVARIANT: Not in sysfs: it must not be dropped as if it were.
            // SAFETY: A null `dev` is what `drop` reads as "not in sysfs".
            unsafe { (*unit.device.get()).dev = core::ptr::null_mut() };
            return Err(Error::from_errno(added));
        }
        Ok(unit)
    }

    /// Registers with the core, which then probes every device. Process context.
    pub fn register(&self, operations: Arc<Operations<D>>) -> Result {
        let mut registered = self.operations.lock();
        if registered.is_some() {
            return Err(EEXIST);
        }
        let table = operations.table();
        // A probe that another unit's registration started may answer with this one from now on.
        // SAFETY: Nobody reads the field of a unit that is not listed.
        unsafe { (*self.device.get()).ops = table };
        self.listed.store(true, Ordering::Release);
        // SAFETY: In sysfs by the type's invariants; the operations live as long as the module.
        let error = unsafe {
            bindings::iommu_device_register(self.device.get(), table, core::ptr::null_mut())
        };
        if error != 0 {
            // The core has taken it off its list again.
            self.listed.store(false, Ordering::Release);
            return Err(Error::from_errno(error));
        }
        // INVARIANT: On the list from here on.
        *registered = Some(operations);
        Ok(())
    }

    /// Takes the unit from the core, which releases the devices that are on their bus at this
    /// moment. Nothing if it is not registered. Process context.
    ///
    /// A device that is just being added or removed is not released: the core walks the bus once.
    /// Callers that need all of them gone hold [`RescanLock`](crate::pci::RescanLock).
    pub fn unregister(&self) {
        if let Some(operations) = self.operations.lock().take() {
            self.listed.store(false, Ordering::Release);
            // SAFETY: Registered, by the type's invariants.
            unsafe { bindings::iommu_device_unregister(self.device.get()) };
            drop(operations);
        }
    }

    /// Whether devices may be probed for it: the core probes all devices whenever it is given one
    /// unit, and would not release those of another unit that it has not, or no longer.
    pub fn is_listed(&self) -> bool {
        self.listed.load(Ordering::Acquire)
    }

    /// The core's structure, to answer a probe with.
    pub(crate) fn as_raw(&self) -> *mut bindings::iommu_device {
        self.device.get()
    }
}

#[pinned_drop]
impl<D: Driver, T: Send + Sync + 'static> PinnedDrop for Unit<D, T> {
    fn drop(self: Pin<&mut Self>) {
        self.unregister();
        // SAFETY: In sysfs unless `dev` is null (see `new`).
        unsafe {
            if !(*self.device.get()).dev.is_null() {
                bindings::iommu_device_sysfs_remove(self.device.get());
            }
        }
    }
}
