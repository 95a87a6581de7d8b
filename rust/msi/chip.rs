// SPDX-License-Identifier: GPL-2.0

//! The chip and the operations of a parent domain.

use super::remapping::{InterruptRemapping, Message, Target};
use crate::bindings;
use crate::pci::PciDevice;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use kernel::prelude::*;

/// The chip and the domain's operations. The irq core keeps pointers to both.
pub(super) struct ChipOps<R>(PhantomData<R>);

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

    pub(super) const OPS: bindings::irq_domain_ops = bindings::irq_domain_ops {
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
