// SPDX-License-Identifier: GPL-2.0

//! Pages that hardware reads: zeroed, physically contiguous, accounted as IOMMU tables.

use crate::bindings;
use core::ptr::NonNull;
use kernel::alloc::flags::GFP_KERNEL_ACCOUNT;
use kernel::alloc::Flags;
use kernel::prelude::*;

/// Allocation flags: the kernel's `gfp_t`.
#[derive(Clone, Copy)]
pub struct Gfp(pub(crate) bindings::gfp_t);

impl Gfp {
    /// An allocation may sleep.
    pub const KERNEL: Gfp = Gfp(bindings::GFP_KERNEL);
    /// For any context: an allocation never sleeps, so it is more likely to fail.
    pub const ATOMIC: Gfp = Gfp(bindings::GFP_ATOMIC);
    /// An allocation may sleep, and is charged to the caller's memory cgroup.
    pub const KERNEL_ACCOUNT: Gfp = Gfp(bindings::GFP_KERNEL_ACCOUNT);
}

/// The memory cgroup that memory is charged to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// None: memory that the kernel needs for itself.
    Unaccounted,
    /// That of the caller: memory that the kernel allocates on the caller's request.
    Caller,
}

impl Charge {
    /// Returns the flags for pages that hardware reads, and for per-CPU counters. An allocation
    /// with them may sleep.
    pub const fn gfp(self) -> Gfp {
        match self {
            Charge::Unaccounted => Gfp::KERNEL,
            Charge::Caller => Gfp::KERNEL_ACCOUNT,
        }
    }

    /// Returns the flags for everything else. An allocation with them may sleep.
    pub const fn flags(self) -> Flags {
        match self {
            Charge::Unaccounted => GFP_KERNEL,
            Charge::Caller => GFP_KERNEL_ACCOUNT,
        }
    }
}

pub use kernel::page::PAGE_SIZE;

/// A NUMA node to allocate from. (Only the kernel crate can read the number of a
/// `kernel::alloc::NumaNode`, so no other crate can pass one to C.)
///
/// # Invariants
///
/// The number of a node that was online, or `NUMA_NO_NODE`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NumaNode(i32);

impl NumaNode {
    /// No particular node.
    // INVARIANT: `NUMA_NO_NODE`.
    pub const NO_NODE: NumaNode = NumaNode(bindings::NUMA_NO_NODE);

    /// Returns the node numbered `nid`, or [`Self::NO_NODE`] if it is not online, for example
    /// because a firmware table has a wrong number.
    pub(crate) fn online(nid: i32) -> Self {
        // SAFETY: Any number is allowed.
        if unsafe { bindings::vtd_helper_node_online(nid) } {
            // INVARIANT: It is online.
            NumaNode(nid)
        } else {
            Self::NO_NODE
        }
    }

    /// Returns the number, for C.
    #[inline(always)]
    pub(crate) fn raw(self) -> i32 {
        self.0
    }
}

const CACHE_LINE: usize = 64;

/// The minimum number of 64-bit words of a block; a lower index needs no further check.
const LEAST: usize = PAGE_SIZE / 8;

/// An owned block of 2^order pages seen as 64-bit words.
///
/// # Invariants
///
/// `virt` was returned by `iommu_alloc_pages_node_sz` for `words * 8` bytes and not freed. There
/// are at least [`LEAST`] words.
pub struct Pages {
    virt: NonNull<u64>,
    words: usize,
}

// SAFETY: The memory belongs to no thread; all accesses are single volatile words, for which the
// kernel's memory model allows concurrency.
unsafe impl Send for Pages {}
// SAFETY: As above.
unsafe impl Sync for Pages {}

impl Pages {
    /// Allocates 2^`order` zeroed pages near `node`.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if the number of bytes overflows; [`ENOMEM`] if an allocation fails.
    pub fn new(node: NumaNode, order: u32, gfp: Gfp) -> Result<Self> {
        let bytes = 1usize
            .checked_shl(order)
            .and_then(|pages| pages.checked_mul(PAGE_SIZE))
            .ok_or(EINVAL)?;
        // SAFETY: The node is online or none; any size and flags are allowed.
        let virt = unsafe { bindings::iommu_alloc_pages_node_sz(node.raw(), gfp.0, bytes) };
        // INVARIANT: Freshly allocated with this size.
        Ok(Pages {
            virt: NonNull::new(virt.cast()).ok_or(ENOMEM)?,
            words: bytes / 8,
        })
    }

    /// Returns the physical address of the first byte; page aligned.
    pub fn phys(&self) -> u64 {
        // SAFETY: Allocated pages lie in the direct map.
        unsafe { bindings::vtd_helper_virt_to_phys(self.virt.as_ptr().cast()) }
    }

    /// Returns the number of 64-bit words.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.words
    }

    /// Reads word `i`; zero past the end. As `READ_ONCE()`: orders nothing.
    #[inline(always)]
    pub fn read(&self, i: usize) -> u64 {
        if i >= LEAST && i >= self.words {
            return 0;
        }
        // SAFETY: In bounds by the check, aligned, alive by the type's invariants.
        unsafe { self.virt.as_ptr().add(i).read_volatile() }
    }

    /// Writes word `i`; past the end nothing is written. As `WRITE_ONCE()`: x86 makes stores
    /// visible in program order.
    #[inline(always)]
    pub fn write(&self, i: usize, value: u64) {
        if i < LEAST || i < self.words {
            // SAFETY: In bounds by the check, aligned, alive by the type's invariants.
            unsafe { self.virt.as_ptr().add(i).write_volatile(value) }
        }
    }

    /// Writes words `first..first + count` back to memory, for hardware that does not snoop.
    pub fn flush(&self, first: usize, count: usize) {
        let Some(end) = first.checked_add(count) else {
            return;
        };
        if end <= self.words && count > 0 {
            // SAFETY: In bounds by the check.
            unsafe {
                bindings::vtd_helper_flush_cache_range(
                    self.virt.as_ptr().add(first).cast(),
                    (count * 8) as u32,
                )
            }
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: Allocated by iommu_alloc_pages_node_sz(), not freed before, and no reference is
        // left. The owner ensures that hardware does not use it any more, as it is responsible for
        // every address that it gives to hardware: no type can check where hardware reads.
        unsafe { bindings::iommu_free_pages(self.virt.as_ptr().cast()) }
    }
}

/// Writes the cache line of `virt` back to memory.
///
/// No fence is needed. The processor orders a line's write-back after the stores to that line, and
/// hardware or another processor is notified of them by a register access or an atomic, which is
/// ordered after both.
///
/// # Safety
///
/// The address must be mapped.
#[inline(always)]
pub(crate) unsafe fn flush_line(virt: *mut u8) {
    // SAFETY: By this function's contract; flushing a line changes no memory.
    unsafe {
        core::arch::asm!("clflush [{}]", in(reg) virt, options(nostack, preserves_flags));
    }
}

/// Writes the cache lines of `bytes` bytes at `virt` back to memory.
///
/// # Safety
///
/// The range must be mapped.
#[inline(always)]
pub(crate) unsafe fn flush_lines(virt: *mut u8, bytes: usize) {
    // SAFETY: By this function's contract; flushing a line changes no memory.
    unsafe {
        if (virt as usize) % CACHE_LINE + bytes <= CACHE_LINE {
            flush_line(virt)
        } else {
            bindings::vtd_helper_flush_cache_range(virt.cast(), bytes as u32)
        }
    }
}
