// SPDX-License-Identifier: GPL-2.0

//! A parent domain for the message-signalled interrupts of PCI devices, whose messages name entries
//! of a remapping table.
//!
//! A device that is put under this domain ([`RemappedDevice`]) gets its own domain on top of it when
//! its driver allocates interrupts. This domain allocates vectors from the
//! vector domain below, and entries from its [`InterruptRemapping`]. An entry is absent until the
//! interrupt is activated. A change of the affinity changes the entry, not the device.
//!
//! The kernel's own remapping drivers free the old vector of a moved interrupt right after the
//! change. The function for that is not exported, so the old vector is freed when the first
//! interrupt has arrived at the new one, as without remapping.
//!
//! Chip and operations are constants, see [`crate::irq`].
//!
//! C headers: `include/linux/msi.h`, `include/linux/irqdomain.h`.

use crate::bindings;
use crate::pci::PciDevice;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use kernel::prelude::*;
use kernel::sync::Arc;

/// The processor and vector that an interrupt is delivered to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The vector.
    pub vector: u8,
    /// The APIC ID of the processor, or a set of processors.
    pub destination: u32,
    /// Whether the destination is a logical one.
    pub logical: bool,
}

/// The message that a device sends to raise an interrupt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// The address that it writes to.
    pub address: u32,
    /// What it writes.
    pub data: u32,
}

/// A table of interrupts that hardware looks up.
pub trait InterruptRemapping: Send + Sync + 'static {
    /// The first part of the name of the domain.
    const NAME: &'static CStr;

    /// Returns a number that distinguishes it from other such tables; the domain is called
    /// `NAME-number`.
    fn number(&self) -> u32;

    /// Allocates `count` consecutive entries for interrupts of `device`, all absent. Returns the
    /// index of the first one.
    ///
    /// # Errors
    ///
    /// Any; nothing is allocated then.
    ///
    /// # Context
    ///
    /// Process context.
    fn allocate(&self, device: &PciDevice, count: u32) -> Result<u16>;

    /// Frees `count` entries from `first`. After it has returned, hardware does not use them.
    ///
    /// # Context
    ///
    /// Process context.
    fn free(&self, first: u16, count: u32);

    /// Returns the message that names the entry `first + number`, where `first` is what
    /// [`Self::allocate`] returned.
    fn message(&self, first: u16, number: u16) -> Message;

    /// Makes an entry present, or changes it, so that it delivers to `target`. After it has
    /// returned, hardware uses the new target.
    ///
    /// # Context
    ///
    /// Interrupts may be off and raw spin locks held; must not sleep.
    fn set_target(&self, index: u16, target: Target);

    /// Makes an entry absent. After it has returned, hardware does not use it.
    ///
    /// # Context
    ///
    /// As for [`Self::set_target`].
    fn clear(&self, index: u16);
}

/// A parent domain for MSI. Dropping it removes the domain.
///
/// # Invariants
///
/// `domain` has `fwnode`, and `remapping` as its data. Only devices for which a [`RemappedDevice`]
/// lives are under it, so nothing else has interrupts in it.
pub struct MsiParent<R: InterruptRemapping> {
    domain: *mut bindings::irq_domain,
    fwnode: *mut bindings::fwnode_handle,
    _remapping: Arc<R>,
}

// SAFETY: The domain may be used by any thread, and the table is `Sync`.
unsafe impl<R: InterruptRemapping> Send for MsiParent<R> {}
// SAFETY: As above.
unsafe impl<R: InterruptRemapping> Sync for MsiParent<R> {}

/// The chip and the domain's operations. The irq core keeps pointers to both.
struct ChipOps<R>(PhantomData<R>);

/// Packs the first entry of an allocation and the number of an interrupt within it.
fn hwirq(first: u16, number: u16) -> usize {
    usize::from(first) << 16 | usize::from(number)
}

impl<R: InterruptRemapping> ChipOps<R> {
    // `as_char_ptr` is no constant function.
    #[allow(clippy::disallowed_methods)]
    const CHIP: bindings::irq_chip = bindings::irq_chip {
        name: R::NAME.as_ptr().cast(),
        irq_ack: Some(bindings::irq_chip_ack_parent),
        irq_set_affinity: Some(Self::set_affinity),
        irq_compose_msi_msg: Some(Self::compose_msi_msg),
        // SAFETY: Null pointers and absent functions are valid.
        ..unsafe { MaybeUninit::zeroed().assume_init() }
    };

    const OPS: bindings::irq_domain_ops = bindings::irq_domain_ops {
        alloc: Some(Self::alloc),
        free: Some(Self::free),
        activate: Some(Self::activate),
        deactivate: Some(Self::deactivate),
        // SAFETY: Null pointers and absent functions are valid.
        ..unsafe { MaybeUninit::zeroed().assume_init() }
    };

    /// Returns the table of an interrupt, its first entry, and its number from there.
    ///
    /// # Safety
    ///
    /// `data` must be interrupt data of the domain that `alloc` prepared.
    unsafe fn entry<'a>(data: *mut bindings::irq_data) -> (&'a R, u16, u16) {
        // SAFETY: `alloc` stored the table, which lives as long as the domain, and thus as long as
        // its interrupts, and the two numbers.
        unsafe {
            let hwirq = (*data).hwirq;
            (
                &*(*data).chip_data.cast::<R>(),
                (hwirq >> 16) as u16,
                hwirq as u16,
            )
        }
    }

    /// Writes the parent's vector and destination into the entry of an interrupt.
    ///
    /// # Safety
    ///
    /// As for [`Self::entry`].
    unsafe fn set_target(data: *mut bindings::irq_data) {
        // SAFETY: The data is `alloc`'s; its root is the vector domain, whose configuration exists
        // as long as the interrupt. The lock of the descriptor, or of the allocation, is held.
        let (remapping, first, number, target) = unsafe {
            let (remapping, first, number) = Self::entry(data);
            let config = bindings::irqd_cfg(data);
            let target = Target {
                vector: (*config).vector as u8,
                destination: (*config).dest_apicid,
                logical: bindings::vtd_helper_apic_dest_mode_logical(),
            };
            (remapping, first, number, target)
        };
        remapping.set_target(first.wrapping_add(number), target);
    }

    /// Implements `irq_domain_ops::alloc`.
    ///
    /// # Safety
    ///
    /// Called by the irq core for a domain of [`MsiParent::new`], with the allocation info that the
    /// MSI core prepared, in process context.
    unsafe extern "C" fn alloc(
        domain: *mut bindings::irq_domain,
        virq: u32,
        count: u32,
        arg: *mut c_void,
    ) -> i32 {
        // SAFETY: By this function's contract; the device lives while its interrupts are allocated.
        let device = unsafe { PciDevice::get(bindings::vtd_helper_msi_requester(arg.cast())) };
        let Some(device) = device else {
            return EINVAL.to_errno();
        };
        // SAFETY: As above.
        let done = unsafe { bindings::irq_domain_alloc_irqs_parent(domain, virq, count, arg) };
        if done < 0 {
            return done;
        }
        // SAFETY: The domain's data is the table, see `MsiParent::new`.
        let table = unsafe { (*domain).host_data };
        // SAFETY: As above.
        let remapping = unsafe { &*table.cast::<R>() };
        let first = match remapping.allocate(&device, count) {
            Ok(first) => first,
            Err(e) => {
                // SAFETY: The parent's interrupts were allocated above.
                unsafe { bindings::irq_domain_free_irqs_common(domain, virq, count) };
                return e.to_errno();
            }
        };
        for number in 0..count {
            // SAFETY: The irq core has prepared the interrupt's data for this domain. The chip is a
            // constant, and the table outlives the interrupt.
            unsafe {
                bindings::irq_domain_set_hwirq_and_chip(
                    domain,
                    virq + number,
                    hwirq(first, number as u16),
                    &Self::CHIP,
                    table,
                )
            };
        }
        0
    }

    /// Implements `irq_domain_ops::free`.
    ///
    /// # Safety
    ///
    /// Called by the irq core with interrupts that [`Self::alloc`] allocated, in process context.
    unsafe extern "C" fn free(domain: *mut bindings::irq_domain, virq: u32, count: u32) {
        // SAFETY: By this function's contract.
        let data = unsafe { bindings::irq_domain_get_irq_data(domain, virq) };
        if !data.is_null() {
            // SAFETY: Prepared by `alloc`.
            let (remapping, first, number) = unsafe { Self::entry(data) };
            remapping.free(first.wrapping_add(number), count);
        }
        // SAFETY: By this function's contract; hardware does not use the vectors any more.
        unsafe { bindings::irq_domain_free_irqs_common(domain, virq, count) };
    }

    /// Implements `irq_domain_ops::activate`.
    ///
    /// # Safety
    ///
    /// Called by the irq core with data that [`Self::alloc`] prepared, after the parent, the vector
    /// domain, was activated.
    unsafe extern "C" fn activate(
        _domain: *mut bindings::irq_domain,
        data: *mut bindings::irq_data,
        _reserve: bool,
    ) -> i32 {
        // SAFETY: By this function's contract.
        unsafe { Self::set_target(data) };
        0
    }

    /// Implements `irq_domain_ops::deactivate`.
    ///
    /// # Safety
    ///
    /// Called by the irq core with data that [`Self::alloc`] prepared, before the parent is
    /// deactivated.
    unsafe extern "C" fn deactivate(
        _domain: *mut bindings::irq_domain,
        data: *mut bindings::irq_data,
    ) {
        // SAFETY: By this function's contract.
        let (remapping, first, number) = unsafe { Self::entry(data) };
        remapping.clear(first.wrapping_add(number));
    }

    /// Implements `irq_chip::irq_set_affinity`.
    ///
    /// # Safety
    ///
    /// Called by the irq core with data that [`Self::alloc`] prepared and a valid `mask`, with the
    /// lock of the descriptor held and interrupts off.
    unsafe extern "C" fn set_affinity(
        data: *mut bindings::irq_data,
        mask: *const bindings::cpumask,
        force: bool,
    ) -> i32 {
        // SAFETY: The parent is the vector domain, whose chip sets affinities.
        let done = unsafe { bindings::vtd_helper_set_parent_affinity(data, mask, force) };
        if done < 0 || done == bindings::IRQ_SET_MASK_OK_DONE as i32 {
            return done;
        }
        // SAFETY: Prepared by `alloc`; the vector may have moved.
        unsafe { Self::set_target(data) };
        // The device's message stays as it is.
        bindings::IRQ_SET_MASK_OK_DONE as i32
    }

    /// Implements `irq_chip::irq_compose_msi_msg`.
    ///
    /// # Safety
    ///
    /// Called by the irq core with data that [`Self::alloc`] prepared and a valid `msg`.
    unsafe extern "C" fn compose_msi_msg(
        data: *mut bindings::irq_data,
        msg: *mut bindings::msi_msg,
    ) {
        // SAFETY: By this function's contract.
        let (remapping, first, number) = unsafe { Self::entry(data) };
        let Message { address, data } = remapping.message(first, number);
        // SAFETY: By this function's contract.
        unsafe { bindings::vtd_helper_msi_msg(msg, address, data) }
    }
}

impl<R: InterruptRemapping> MsiParent<R> {
    /// Creates the domain. `isolated` tells the kernel that a device of this domain can raise only
    /// interrupts that were allocated for it; VFIO and iommufd rely on it.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails, or that of the irq core; nothing is left behind.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn new(remapping: Arc<R>, isolated: bool) -> Result<Self> {
        let number = i32::try_from(remapping.number())?;
        // SAFETY: A named firmware node without data; the name is copied.
        let fwnode =
            unsafe { bindings::vtd_helper_alloc_named_id_fwnode(R::NAME.as_char_ptr(), number) };
        if fwnode.is_null() {
            return Err(ENOMEM);
        }
        let mut info = bindings::irq_domain_info {
            fwnode,
            domain_flags: bindings::IRQ_DOMAIN_FLAG_HIERARCHY,
            hwirq_max: usize::MAX,
            ops: &ChipOps::<R>::OPS,
            host_data: Arc::as_ptr(&remapping).cast_mut().cast(),
            // SAFETY: The vector domain exists from early boot on and does not change.
            parent: unsafe { bindings::x86_vector_domain },
            ..Default::default()
        };
        // SAFETY: `info` describes a hierarchical domain whose operations outlive it.
        let domain = unsafe { bindings::vtd_helper_msi_create_parent(&mut info, isolated) };
        match kernel::error::from_err_ptr(domain) {
            // INVARIANT: Created with this node and this table, and without an interrupt.
            Ok(domain) => Ok(MsiParent {
                domain,
                fwnode,
                _remapping: remapping,
            }),
            Err(e) => {
                // SAFETY: Allocated above, used by no domain.
                unsafe { bindings::irq_domain_free_fwnode(fwnode) };
                Err(e)
            }
        }
    }
}

impl<R: InterruptRemapping> Drop for MsiParent<R> {
    fn drop(&mut self) {
        // SAFETY: By the type's invariants the domain is empty, and no device belongs to it.
        unsafe {
            bindings::irq_domain_remove(self.domain);
            bindings::irq_domain_free_fwnode(self.fwnode);
        }
    }
}

/// A device under a parent domain: its interrupts are allocated there. Dropping this puts it under
/// the vector domain again.
///
/// # Invariants
///
/// The MSI domain of `device` is that of `parent`.
pub struct RemappedDevice<R: InterruptRemapping> {
    device: PciDevice,
    parent: Arc<MsiParent<R>>,
}

impl<R: InterruptRemapping> RemappedDevice<R> {
    /// Puts `device` under `parent`. Returns [`None`] if it has interrupts already, or is under
    /// another domain than that of vectors, as a device behind a volume management device is.
    ///
    /// # Context
    ///
    /// No driver may be bound to the device or being bound.
    pub fn new(parent: Arc<MsiParent<R>>, device: PciDevice) -> Option<Self> {
        let dev = device.as_device().as_raw();
        // SAFETY: A valid device. The domain lives as long as it is that of the device.
        let done = unsafe {
            bindings::vtd_helper_change_msi_domain(dev, bindings::x86_vector_domain, parent.domain)
        };
        // INVARIANT: Changed just now.
        done.then_some(RemappedDevice { device, parent })
    }

    /// Returns whether the device has interrupts, or could have some because a driver prepared for
    /// it.
    pub fn has_interrupts(&self) -> bool {
        // SAFETY: A valid device.
        unsafe { bindings::vtd_helper_has_msi_data(self.device.as_device().as_raw()) }
    }
}

impl<R: InterruptRemapping> Drop for RemappedDevice<R> {
    /// A device that still has interrupts stays where it is, and the domain is never removed.
    ///
    /// # Context
    ///
    /// As for [`Self::new`].
    fn drop(&mut self) {
        let dev = self.device.as_device().as_raw();
        // SAFETY: A valid device.
        let done = unsafe {
            bindings::vtd_helper_change_msi_domain(
                dev,
                self.parent.domain,
                bindings::x86_vector_domain,
            )
        };
        if !done {
            core::mem::forget(self.parent.clone());
        }
    }
}

/// Returns whether the processors' APICs are in x2APIC mode.
pub fn x2apic_enabled() -> bool {
    // SAFETY: Has no preconditions.
    unsafe { bindings::vtd_helper_x2apic_enabled() }
}
