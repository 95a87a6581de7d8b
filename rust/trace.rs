// SPDX-License-Identifier: GPL-2.0

//! The trace events of the driver, defined in `helpers/trace.h`.
//!
//! An event that is not enabled costs one branch, which is patched out on a kernel with jump
//! labels. `kernel::declare_trace!` cannot be used: it finds tracepoints in the kernel's
//! bindings only, which have none of a module.

use crate::bindings;
use crate::device::Device;
use core::ptr;

/// The fields of `vtd:fault`.
pub type FaultEvent = bindings::vtd_fault_event;
/// The fields of `vtd:attach`.
pub type AttachEvent = bindings::vtd_attach_event;
/// The fields of `vtd:refuse`.
pub type RefuseEvent = bindings::vtd_refuse_event;
/// The fields of `vtd:invalidate`.
pub type InvalidateEvent = bindings::vtd_invalidate_event;

/// The type of a refused request.
#[derive(Clone, Copy)]
#[repr(u8)]
pub enum Request {
    /// A read.
    Read = bindings::VTD_REQUEST_READ as u8,
    /// A write.
    Write = bindings::VTD_REQUEST_WRITE as u8,
    /// A read of instructions.
    Execute = bindings::VTD_REQUEST_EXECUTE as u8,
    /// An atomic operation.
    Atomic = bindings::VTD_REQUEST_ATOMIC as u8,
    /// A page request.
    PageRequest = bindings::VTD_REQUEST_PAGE as u8,
    /// An interrupt request that names an entry.
    Interrupt = bindings::VTD_REQUEST_INTERRUPT as u8,
    /// An interrupt request that names none.
    CompatibilityInterrupt = bindings::VTD_REQUEST_COMPATIBLE as u8,
}

/// What a device is attached to.
#[derive(Clone, Copy)]
#[repr(u8)]
pub enum Attached {
    /// Nothing.
    Blocked = bindings::VTD_ATTACHED_BLOCKED as u8,
    /// All of memory.
    Identity = bindings::VTD_ATTACHED_IDENTITY as u8,
    /// A domain of the DMA API.
    Dma = bindings::VTD_ATTACHED_DMA as u8,
    /// A domain that a user or another driver allocated.
    Unmanaged = bindings::VTD_ATTACHED_UNMANAGED as u8,
}

/// The check that refused an attach.
#[derive(Clone, Copy)]
#[repr(u8)]
pub enum RefusedBy {
    /// The device cannot be isolated from an untranslated one.
    Neighbour = bindings::VTD_REFUSED_NEIGHBOUR as u8,
    /// Firmware reserved memory for the device.
    ReservedMemory = bindings::VTD_REFUSED_RESERVED as u8,
    /// Its group has another owner.
    Owner = bindings::VTD_REFUSED_OWNER as u8,
    /// The unit cannot walk the domain's tables.
    Tables = bindings::VTD_REFUSED_TABLES as u8,
    /// The unit has no domain-id left, or there is no memory for one.
    DomainId = bindings::VTD_REFUSED_DOMAIN_ID as u8,
    /// The entries could not be installed: the unit has failed, or there is no memory.
    Unit = bindings::VTD_REFUSED_UNIT as u8,
}

/// The cache that is invalidated.
#[derive(Clone, Copy)]
#[repr(u8)]
pub enum Cache {
    /// Context entries.
    Context = bindings::VTD_CACHE_CONTEXT as u8,
    /// Translations.
    Iotlb = bindings::VTD_CACHE_IOTLB as u8,
    /// Interrupt entries.
    Interrupt = bindings::VTD_CACHE_INTERRUPT as u8,
    /// Translations in a device.
    DeviceTlb = bindings::VTD_CACHE_DEVICE_TLB as u8,
    /// PASID entries.
    Pasid = bindings::VTD_CACHE_PASID as u8,
    /// Translations of a first stage.
    PasidIotlb = bindings::VTD_CACHE_PASID_IOTLB as u8,
}

/// How much of it is invalidated.
#[derive(Clone, Copy)]
#[repr(u8)]
pub enum Scope {
    /// Everything.
    Global = bindings::VTD_SCOPE_GLOBAL as u8,
    /// What is tagged with a domain-id.
    Domain = bindings::VTD_SCOPE_DOMAIN as u8,
    /// What one device, a block of pages or a block of interrupt entries has.
    Selective = bindings::VTD_SCOPE_SELECTIVE as u8,
    /// What is tagged with a domain-id and a PASID.
    Pasid = bindings::VTD_SCOPE_PASID as u8,
}

/// Returns whether a tracepoint is enabled.
macro_rules! is_enabled {
    ($tracepoint:ident) => {{
        // SAFETY: A tracepoint's key, which C initialised and which lives as long as the module. The
        // kernel changes its counter by atomic operations.
        #[cfg(all(CONFIG_TRACEPOINTS, CONFIG_JUMP_LABEL))]
        let enabled = unsafe {
            ::kernel::jump_label::static_branch_unlikely!(
                bindings::$tracepoint,
                bindings::tracepoint,
                key
            )
        };
        // The macro would call a function here, which takes longer than the rest of the check.
        #[cfg(all(CONFIG_TRACEPOINTS, not(CONFIG_JUMP_LABEL)))]
        let enabled = {
            // SAFETY: As above.
            let count = unsafe {
                (&raw const bindings::$tracepoint.key.key.enabled.counter).read_volatile()
            };
            count > 0
        };
        #[cfg(not(CONFIG_TRACEPOINTS))]
        let enabled = false;
        enabled
    }};
}

// Inline, so that a module without these events contains no code of them.

/// Emits `vtd:fault`, if it is enabled. No device: none of the driver's has the requester ID.
///
/// # Context
///
/// Any context; `event` is called in the caller's.
#[inline(always)]
pub fn fault<'a>(device: Option<&'a Device>, event: impl FnOnce() -> FaultEvent) {
    if is_enabled!(__tracepoint_fault) {
        let event = event();
        // SAFETY: A valid device or null, and a valid event. The event copies what it shows.
        #[cfg(CONFIG_TRACEPOINTS)]
        unsafe {
            bindings::rust_do_trace_fault(device.map_or(ptr::null_mut(), Device::as_raw), &event)
        };
    }
}

/// Emits `vtd:attach`, if it is enabled.
///
/// # Context
///
/// Any context; `event` is called in the caller's.
#[inline(always)]
pub fn attach(device: &Device, event: impl FnOnce() -> AttachEvent) {
    if is_enabled!(__tracepoint_attach) {
        let event = event();
        // SAFETY: As in `fault`.
        #[cfg(CONFIG_TRACEPOINTS)]
        unsafe {
            bindings::rust_do_trace_attach(device.as_raw(), &event)
        };
    }
}

/// Emits `vtd:refuse`, if it is enabled.
///
/// # Context
///
/// Any context; `event` is called in the caller's.
#[inline(always)]
pub fn refuse(device: &Device, event: impl FnOnce() -> RefuseEvent) {
    if is_enabled!(__tracepoint_refuse) {
        let event = event();
        // SAFETY: As in `fault`.
        #[cfg(CONFIG_TRACEPOINTS)]
        unsafe {
            bindings::rust_do_trace_refuse(device.as_raw(), &event)
        };
    }
}

/// Returns whether `vtd:invalidate` is enabled.
///
/// # Context
///
/// Any context.
#[inline(always)]
pub fn is_invalidate_enabled() -> bool {
    is_enabled!(__tracepoint_invalidate)
}

/// Emits `vtd:invalidate`, which is enabled.
///
/// # Context
///
/// Any context.
#[inline]
pub fn invalidate(event: &InvalidateEvent) {
    // SAFETY: A valid event, which is copied.
    #[cfg(CONFIG_TRACEPOINTS)]
    unsafe {
        bindings::rust_do_trace_invalidate(event)
    };
}
