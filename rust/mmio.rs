// SPDX-License-Identifier: GPL-2.0

//! The registers of a device that is not on a bus.

use crate::acpi::FirmwareAddress;
use crate::bindings;
use core::ptr::NonNull;
use kernel::prelude::*;

/// The minimum size of a register range in bytes; a lower offset needs no further check.
const LEAST: usize = 4096;

/// Claimed and mapped registers.
///
/// # Invariants
///
/// `base` is an I/O mapping of `len` bytes, at least [`LEAST`], `start..start + len` is claimed in
/// the resource tree, and both last as long as this.
pub struct Registers {
    base: NonNull<u8>,
    start: u64,
    len: usize,
}

// SAFETY: An I/O mapping may be used from every CPU; the device orders the accesses.
unsafe impl Send for Registers {}
// SAFETY: As above.
unsafe impl Sync for Registers {}

/// Returns whether a part of the range is claimed, because a failed claim does not report why.
fn is_requested(start: u64, len: usize) -> bool {
    // SAFETY: Any range is allowed; the call locks the resource tree.
    let found = unsafe {
        bindings::region_intersects(
            start,
            len,
            bindings::IORESOURCE_BUSY as usize,
            bindings::IORES_DESC_NONE as usize,
        )
    };
    found != bindings::REGION_DISJOINT as i32
}

impl Registers {
    /// Claims `len` bytes of registers from `start` on for `name`, then maps them.
    ///
    /// Firmware reports the address, and the resource tree shows that nothing else uses the range:
    /// memory, and the registers of devices with drivers, are claimed there. No code can check that
    /// the address really is that of registers, and not of something else that is not claimed.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if a part of them is claimed already, [`ENOMEM`] without memory to claim or map
    /// them, [`EINVAL`] for less than a page.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn request(start: FirmwareAddress, len: usize, name: &'static CStr) -> Result<Self> {
        let start = start.raw();
        if len < LEAST {
            return Err(EINVAL);
        }
        // SAFETY: `name` is static; any range is allowed.
        let region = unsafe {
            bindings::__request_region(
                &raw mut bindings::iomem_resource,
                start,
                len as u64,
                name.as_char_ptr(),
                0,
            )
        };
        if region.is_null() {
            return Err(if is_requested(start, len) {
                EBUSY
            } else {
                ENOMEM
            });
        }
        // SAFETY: The range was claimed above.
        let base = unsafe { bindings::ioremap(start, len) };
        match NonNull::new(base.cast::<u8>()) {
            // INVARIANT: Checked, claimed and mapped above.
            Some(base) => Ok(Registers { base, start, len }),
            None => {
                // SAFETY: Claimed above with the same range.
                unsafe {
                    bindings::__release_region(&raw mut bindings::iomem_resource, start, len as u64)
                };
                Err(ENOMEM)
            }
        }
    }

    /// Returns the physical address of the first register.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Returns the address of a `T` at `offset`, if it is inside and aligned.
    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Option<*mut T> {
        let end = offset.checked_add(size_of::<T>())?;
        if (end > LEAST && end > self.len) || offset % size_of::<T>() != 0 {
            return None;
        }
        // SAFETY: `offset..end` lies in the mapping by the check above.
        Some(unsafe { self.base.as_ptr().add(offset) }.cast())
    }

    /// Reads 32 bits. Beyond the end or unaligned it returns all ones, as absent hardware does.
    #[inline]
    pub fn read32(&self, offset: usize) -> u32 {
        match self.at::<u32>(offset) {
            // SAFETY: `at` returns aligned addresses inside the mapping.
            Some(p) => unsafe { bindings::readl(p.cast()) },
            None => u32::MAX,
        }
    }

    /// Reads 64 bits. Beyond the end or unaligned it returns all ones, as absent hardware does.
    #[inline]
    pub fn read64(&self, offset: usize) -> u64 {
        match self.at::<u64>(offset) {
            // SAFETY: `at` returns aligned addresses inside the mapping.
            Some(p) => unsafe { bindings::readq(p.cast()) },
            None => u64::MAX,
        }
    }

    /// Writes 32 bits; beyond the end or unaligned nothing is written.
    #[inline]
    pub fn write32(&self, offset: usize, value: u32) {
        if let Some(p) = self.at::<u32>(offset) {
            // SAFETY: `at` returns aligned addresses inside the mapping.
            unsafe { bindings::writel(value, p.cast()) }
        }
    }

    /// Writes 64 bits; beyond the end or unaligned nothing is written.
    #[inline]
    pub fn write64(&self, offset: usize, value: u64) {
        if let Some(p) = self.at::<u64>(offset) {
            // SAFETY: `at` returns aligned addresses inside the mapping.
            unsafe { bindings::writeq(value, p.cast()) }
        }
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: Mapped and claimed in `claim`; nothing borrowed from `self` is left.
        unsafe {
            bindings::iounmap(self.base.as_ptr().cast());
            bindings::__release_region(
                &raw mut bindings::iomem_resource,
                self.start,
                self.len as u64,
            );
        }
    }
}
