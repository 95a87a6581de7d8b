// SPDX-License-Identifier: GPL-2.0

//! Memory that is kept from being reused: a reference to the folio that it belongs to.
//!
//! Anyone may take a reference to memory that the page allocator has given to another owner, as
//! compaction and the page cache do. Its owner can free it at any time; it goes back to the
//! allocator with the last reference. `rust/helpers/hold.c` decides for which memory this works.
//!
//! C header: `include/linux/page_ref.h`.

use crate::bindings;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

/// A reference to a folio. Dropping it leaks the folio: only [`Batch::put`] gives it back.
///
/// # Invariants
///
/// Owns one reference to the folio.
#[must_use = "dropping a held folio leaks it: put it"]
#[repr(transparent)]
pub struct HeldFolio(NonNull<bindings::folio>);

// SAFETY: A reference belongs to no thread, and the count is atomic.
unsafe impl Send for HeldFolio {}

/// Why memory cannot be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotHeld {
    /// It belongs to a slab or a large kmalloc: its owner frees an object, not a page.
    Slab,
    /// For another reason.
    Other,
}

/// The result of [`HeldFolio::try_hold`].
pub struct Attempt {
    /// A reference. There is one also if the memory was freed concurrently.
    pub folio: Option<HeldFolio>,
    /// The base 2 logarithm of the number of pages of that folio.
    pub order: u8,
    /// The physical addresses of the folio.
    ///
    /// # Errors
    ///
    /// Why the memory is not held.
    pub memory: Result<Range<u64>, NotHeld>,
}

impl HeldFolio {
    /// Tries to take a reference to the folio that contains the physical address `phys`. Any address
    /// is allowed: whether there is memory is checked.
    ///
    /// # Context
    ///
    /// Any context. Raw spin locks may be held.
    #[inline(always)]
    pub fn try_hold(phys: u64) -> Attempt {
        let mut held = bindings::vtd_held {
            start: 0,
            end: 0,
            order: 0,
            why: 0,
        };
        // SAFETY: Any address is allowed; `held` is written only.
        let folio = unsafe { bindings::vtd_helper_folio_try_hold(phys, &mut held) };
        Attempt {
            // INVARIANT: The reference is the caller's.
            folio: NonNull::new(folio).map(HeldFolio),
            order: held.order as u8,
            memory: match held.why {
                bindings::VTD_HOLD_HELD => Ok(held.start..held.end),
                bindings::VTD_HOLD_SLAB => Err(NotHeld::Slab),
                _ => Err(NotHeld::Other),
            },
        }
    }

    /// Never gives the reference back. The folio has this number of pages.
    pub fn keep_for_good(self, pages: u32) {
        count_kept_for_good(pages.into())
    }
}

/// References that are put together.
///
/// # Invariants
///
/// The first `count` places are initialised, and `count` is at most `N`.
pub struct Batch<const N: usize> {
    folios: [MaybeUninit<HeldFolio>; N],
    count: usize,
}

impl<const N: usize> Batch<N> {
    /// Creates an empty batch.
    #[allow(clippy::new_without_default)]
    #[inline(always)]
    pub fn new() -> Self {
        // INVARIANT: No place is counted.
        Batch {
            folios: [const { MaybeUninit::uninit() }; N],
            count: 0,
        }
    }

    /// Adds a reference, if there is room. Otherwise it is never put.
    #[inline(always)]
    pub fn add(&mut self, folio: HeldFolio) {
        if let Some(place) = self.folios.get_mut(self.count) {
            // INVARIANT: One more is initialised, and there was room.
            place.write(folio);
            self.count += 1;
        }
    }

    /// Returns the number of references.
    #[inline(always)]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Puts all references, so that the batch is empty. Returns how many pages were freed by that:
    /// those of the folios to which they were the last ones.
    ///
    /// # Context
    ///
    /// Any context but NMI. No raw spin lock may be held.
    #[inline]
    pub fn put(&mut self) -> u64 {
        // INVARIANT: No place is counted.
        let count = core::mem::take(&mut self.count) as u32;
        // SAFETY: By the type's invariants the first `count` places are references, one pointer
        // each. They are not used afterwards.
        unsafe { bindings::vtd_helper_folios_put(self.folios.as_mut_ptr().cast(), count) }
    }
}

/// Returns whether this kernel has users of memory that stop it if a page of theirs has a reference
/// that they do not know: btrfs and erofs, if they check themselves (`btrfs_free_compr_folio`,
/// `__erofs_allocpage`).
pub const fn is_tolerated() -> bool {
    !cfg!(CONFIG_BTRFS_ASSERT) && !cfg!(CONFIG_EROFS_FS_DEBUG)
}

/// The part of all memory that is kept for good is at most 1 / this.
const KEPT_PART: u64 = 8;

/// The number of pages that were kept for good.
static KEPT: AtomicU64 = AtomicU64::new(0);

/// Counts pages that are kept for good.
pub fn count_kept_for_good(pages: u64) {
    KEPT.fetch_add(pages, Ordering::Relaxed);
}

/// Returns the number of pages that may still be kept for good: an eighth of all memory, less what
/// was kept so far.
pub fn may_keep_for_good() -> u64 {
    // SAFETY: Has no preconditions.
    let all = unsafe { bindings::vtd_helper_totalram_pages() };
    (all / KEPT_PART).saturating_sub(KEPT.load(Ordering::Relaxed))
}
