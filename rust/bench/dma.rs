// SPDX-License-Identifier: GPL-2.0

//! Streaming mappings of the DMA API, for a device without a driver.
//!
//! The memory is allocated here. It is never read or written, and it is freed only after it was
//! unmapped, so DMA of the device to it does no harm. If a value is leaked instead of dropped, its
//! memory stays mapped and is never used for anything else.

use crate::bindings;
use crate::pages::PAGE_SIZE;
use crate::pci::PciDevice;
use core::ffi::c_void;
use core::ptr::NonNull;
use kernel::dma::DataDirection;
use kernel::error::to_result;
use kernel::prelude::*;

/// `DMA_MAPPING_ERROR`.
const DMA_MAPPING_ERROR: bindings::dma_addr_t = bindings::dma_addr_t::MAX;

/// Memory that can be mapped for its device, but not twice at the same time.
pub trait Streaming {
    /// Maps it.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if it is mapped, [`ENOMEM`] if it cannot be.
    ///
    /// # Context
    ///
    /// Any context.
    fn map(&mut self) -> Result;

    /// Unmaps it, if it is mapped.
    ///
    /// # Context
    ///
    /// Any context.
    fn unmap(&mut self);
}

/// A device without a driver, with its pointer at hand for calls that are measured.
///
/// # Invariants
///
/// `dev` is that of `_device`.
struct UnusedDevice {
    dev: *mut bindings::device,
    _device: PciDevice,
}

impl UnusedDevice {
    /// Sets the DMA masks of `device` to 64 bits.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if it has a driver.
    #[inline]
    fn new(device: &PciDevice) -> Result<Self> {
        let dev = device.as_device();
        if dev.driver().is_some() {
            return Err(EBUSY);
        }
        // SAFETY: A live device; no driver uses its masks.
        unsafe {
            to_result(bindings::dma_set_mask(dev.as_raw(), u64::MAX))?;
            to_result(bindings::dma_set_coherent_mask(dev.as_raw(), u64::MAX))?;
        }
        // INVARIANT: Both are `device`.
        Ok(UnusedDevice {
            dev: dev.as_raw(),
            _device: device.clone(),
        })
    }
}

/// A block of contiguous pages.
///
/// # Invariants
///
/// `virt` was returned by `alloc_pages_exact_noprof` for `bytes` bytes and not freed.
struct PageBlock {
    virt: NonNull<c_void>,
    bytes: usize,
}

impl PageBlock {
    /// Allocates a block of `bytes` bytes.
    #[inline]
    fn new(bytes: usize) -> Result<Self> {
        // SAFETY: Any size is allowed.
        let virt = unsafe { bindings::alloc_pages_exact_noprof(bytes, bindings::GFP_KERNEL) };
        // INVARIANT: Freshly allocated with this size.
        Ok(PageBlock {
            virt: NonNull::new(virt).ok_or(ENOMEM)?,
            bytes,
        })
    }

    /// Returns the descriptor of its first page.
    #[inline]
    fn page(&self) -> *mut bindings::page {
        // SAFETY: Allocated pages lie in the direct map.
        unsafe { bindings::vtd_helper_virt_to_page(self.virt.as_ptr()) }
    }
}

impl Drop for PageBlock {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type's invariants; its owner has unmapped it.
        unsafe { bindings::free_pages_exact(self.virt.as_ptr(), self.bytes) }
    }
}

/// A buffer whose first `length` bytes are mapped, as by `dma_map_single`.
///
/// # Invariants
///
/// `page` is the first page of `block`, which has at least `length` bytes. `mapped` is the DMA
/// address at which these are mapped for `device`.
pub struct Buffer {
    device: UnusedDevice,
    block: PageBlock,
    page: *mut bindings::page,
    length: usize,
    mapped: Option<bindings::dma_addr_t>,
}

impl Buffer {
    /// Allocates a buffer of `bytes` bytes for `device`.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if the device has a driver; [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    #[inline]
    pub fn new(device: &PciDevice, bytes: usize) -> Result<Self> {
        let device = UnusedDevice::new(device)?;
        let block = PageBlock::new(bytes)?;
        // INVARIANT: The first page of this block, which is not mapped.
        Ok(Buffer {
            device,
            page: block.page(),
            block,
            length: bytes,
            mapped: None,
        })
    }

    /// Sets how many bytes are mapped from now on.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] for 0 and for more than the size of the buffer; [`EBUSY`] while it is mapped.
    #[inline]
    pub fn set_length(&mut self, length: usize) -> Result {
        if self.mapped.is_some() {
            return Err(EBUSY);
        }
        if length == 0 || length > self.block.bytes {
            return Err(EINVAL);
        }
        // INVARIANT: Compared just now.
        self.length = length;
        Ok(())
    }
}

impl Streaming for Buffer {
    #[inline(always)]
    fn map(&mut self) -> Result {
        if self.mapped.is_some() {
            return Err(EBUSY);
        }
        // SAFETY: A live device, and memory that lives until it is unmapped.
        let at = unsafe {
            bindings::dma_map_page_attrs(
                self.device.dev,
                self.page,
                0,
                self.length,
                DataDirection::Bidirectional.into(),
                0,
            )
        };
        if at == DMA_MAPPING_ERROR {
            return Err(ENOMEM);
        }
        // INVARIANT: Mapped just now.
        self.mapped = Some(at);
        Ok(())
    }

    #[inline(always)]
    fn unmap(&mut self) {
        if let Some(at) = self.mapped.take() {
            // SAFETY: Mapped there by the type's invariants.
            unsafe {
                bindings::dma_unmap_page_attrs(
                    self.device.dev,
                    at,
                    self.length,
                    DataDirection::Bidirectional.into(),
                    0,
                )
            }
        }
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        self.unmap();
    }
}

/// A scatter list of pages of which no two are adjacent.
///
/// # Invariants
///
/// `table` is initialised and refers to pages of `_block`. They are mapped for `device` if
/// `mapped`.
pub struct ScatterList {
    device: UnusedDevice,
    _block: PageBlock,
    table: bindings::sg_table,
    mapped: bool,
}

impl ScatterList {
    /// Allocates a list of `pages` pages for `device`.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if the device has a driver; [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    #[inline]
    pub fn new(device: &PciDevice, pages: u32) -> Result<Self> {
        let device = UnusedDevice::new(device)?;
        let block = PageBlock::new(2 * pages as usize * PAGE_SIZE)?;
        let mut every_other = KVec::with_capacity(pages as usize, GFP_KERNEL)?;
        for i in 0..pages as usize {
            // SAFETY: The descriptors of the pages of one block are contiguous.
            every_other.push(unsafe { block.page().add(2 * i) }, GFP_KERNEL)?;
        }
        let mut table = bindings::sg_table::default();
        // SAFETY: `every_other` has `pages` entries, which are copied; a failure leaves nothing
        // allocated.
        to_result(unsafe {
            bindings::sg_alloc_table_from_pages_segment(
                &mut table,
                every_other.as_mut_ptr(),
                pages,
                0,
                pages as usize * PAGE_SIZE,
                u32::MAX,
                bindings::GFP_KERNEL,
            )
        })?;
        // INVARIANT: Initialised just now, and not mapped.
        Ok(ScatterList {
            device,
            _block: block,
            table,
            mapped: false,
        })
    }

    /// Returns the number of its segments.
    #[inline]
    pub fn orig_nents(&self) -> u32 {
        self.table.orig_nents
    }
}

impl Streaming for ScatterList {
    #[inline(always)]
    fn map(&mut self) -> Result {
        if self.mapped {
            return Err(EBUSY);
        }
        // SAFETY: A live device, and memory that lives until it is unmapped.
        let nents = unsafe {
            bindings::dma_map_sg_attrs(
                self.device.dev,
                self.table.sgl,
                self.table.orig_nents as i32,
                DataDirection::Bidirectional.into(),
                0,
            )
        };
        // INVARIANT: Mapped just now, or not.
        self.mapped = nents != 0;
        if self.mapped {
            Ok(())
        } else {
            Err(ENOMEM)
        }
    }

    #[inline(always)]
    fn unmap(&mut self) {
        if core::mem::take(&mut self.mapped) {
            // SAFETY: Mapped by the type's invariants.
            unsafe {
                bindings::dma_unmap_sg_attrs(
                    self.device.dev,
                    self.table.sgl,
                    self.table.orig_nents as i32,
                    DataDirection::Bidirectional.into(),
                    0,
                )
            }
        }
    }
}

impl Drop for ScatterList {
    #[inline]
    fn drop(&mut self) {
        self.unmap();
        // SAFETY: Initialised by the type's invariants.
        unsafe { bindings::sg_free_table(&mut self.table) }
    }
}
