// SPDX-License-Identifier: GPL-2.0

//! One IOMMU: its registration with the core and its entry in sysfs.

use crate::bindings;
use crate::sysfs::AttributeGroup;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel::types::Opaque;

/// The C operations with which a unit is registered, of any driver.
pub(super) trait OperationTable: Send + Sync {
    /// Returns the table, once it is filled in; it is in a static of the driver's module.
    fn table(&self) -> Option<&'static bindings::iommu_ops>;
}

/// Keeps a driver probing new devices, see [`Operations::handle`](super::Operations::handle).
pub struct OperationsHandle(pub(super) Arc<dyn OperationTable>);

/// A unit in `/sys/class/iommu`, which can be registered with the core.
///
/// # Invariants
///
/// - `device` is in sysfs as long as this lives; it is on the core's list while `operations` is
///   there. A device that was probed for it keeps it alive.
/// - `device.ops` is null until the first registration, and never changes after it: a device that
///   one driver probed is never passed to the callbacks of another.
#[pin_data(PinnedDrop)]
pub struct Unit<T: Send + Sync + 'static> {
    #[pin]
    device: Opaque<bindings::iommu_device>,
    /// Whether devices may be probed for it.
    listed: AtomicBool,
    #[pin]
    operations: Mutex<Option<OperationsHandle>>,
    _attributes: AttributeGroup<T>,
}

// SAFETY: The core guards its own fields; ours are atomic or constant.
unsafe impl<T: Send + Sync> Send for Unit<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for Unit<T> {}

impl<T: Send + Sync + 'static> Unit<T> {
    /// Adds a unit called `name` to sysfs, with `attributes`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails, or that of the device core.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn new(name: &CStr, attributes: AttributeGroup<T>) -> Result<Arc<Self>> {
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
            unsafe { (*unit.device.get()).dev = ptr::null_mut() };
            return Err(Error::from_errno(added));
        }
        Ok(unit)
    }

    /// Registers with the core, which then probes every device.
    ///
    /// # Errors
    ///
    /// [`EEXIST`] if it is registered, [`EINVAL`] if it was registered with other operations
    /// before, or that of the core.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn register(&self, operations: OperationsHandle) -> Result {
        let mut registered = self.operations.lock();
        if registered.is_some() {
            return Err(EEXIST);
        }
        let table = operations.0.table().ok_or(EINVAL)?;
        // A probe that another unit's registration started may return this unit from now on.
        // SAFETY: The field is only written here, with the mutex held, and by the core with what it
        // has; that of a unit that was never listed is not read.
        unsafe {
            let ops = &raw mut (*self.device.get()).ops;
            if (*ops).is_null() {
                // INVARIANT: The first registration.
                *ops = table;
            } else if !ptr::eq(*ops, table) {
                return Err(EINVAL);
            }
        }
        self.listed.store(true, Ordering::Release);
        // SAFETY: In sysfs by the type's invariants; the operations lie in the module, which each
        // device that is probed by them holds.
        let error =
            unsafe { bindings::iommu_device_register(self.device.get(), table, ptr::null_mut()) };
        if error != 0 {
            // The core has taken it off its list again.
            self.listed.store(false, Ordering::Release);
            return Err(Error::from_errno(error));
        }
        // INVARIANT: On the list from here on.
        *registered = Some(operations);
        Ok(())
    }

    /// Unregisters the unit from the core, which releases the devices that are on their bus at this
    /// moment. Does nothing if it is not registered.
    ///
    /// A device that is being added or removed is not released, because the core walks the bus
    /// once. Callers that need all devices released hold [`RescanLock`](crate::pci::RescanLock).
    ///
    /// # Context
    ///
    /// Process context.
    pub fn unregister(&self) {
        if let Some(operations) = self.operations.lock().take() {
            self.listed.store(false, Ordering::Release);
            // SAFETY: Registered, by the type's invariants.
            unsafe { bindings::iommu_device_unregister(self.device.get()) };
            drop(operations);
        }
    }

    /// Returns whether devices may be probed for it. The core probes all devices whenever one unit
    /// is registered, and would never release a device of another unit that is not registered.
    pub fn is_listed(&self) -> bool {
        self.listed.load(Ordering::Acquire)
    }

    /// Returns whether devices may be probed for it by the driver with the operations `table`.
    pub(super) fn is_listed_with(&self, table: &bindings::iommu_ops) -> bool {
        // SAFETY: A unit that is listed was registered, and the field does not change any more by
        // the type's invariants.
        self.is_listed() && ptr::eq(unsafe { (*self.device.get()).ops }, table)
    }

    /// Returns the core's structure, for the result of a probe.
    pub(crate) fn as_raw(&self) -> *mut bindings::iommu_device {
        self.device.get()
    }
}

#[pinned_drop]
impl<T: Send + Sync + 'static> PinnedDrop for Unit<T> {
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
