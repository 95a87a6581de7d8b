// SPDX-License-Identifier: GPL-2.0

//! The core's guarantee about an address range when it calls a domain.

/// A range of a domain's addresses, held for one call of the core. As `pt_iommu_ops` demands of its
/// callers (`linux/generic_pt/iommu.h`), no other call concurrently maps or unmaps a part of it, or
/// a mapping that overlaps it.
///
/// Only this crate creates one, for the tables of the domain that the core has called. So a
/// function that takes one by value is the only one that changes the mappings of the range, and
/// while a function borrows one, nothing there changes. Thus a type can free the tables of a held
/// range without an unsafe function.
///
/// # Invariants
///
/// `iova..iova + len` of `tables` is held for `'a`, as above. It may extend beyond the largest
/// address.
pub struct Held<'a, T> {
    tables: &'a T,
    iova: u64,
    len: u64,
}

impl<'a, T> Held<'a, T> {
    /// Holds a range for one call.
    ///
    /// # Safety
    ///
    /// For `'a`, the range must be held as the type describes: for changes if the result is passed
    /// by value, for reads if it is borrowed.
    #[inline(always)]
    pub(crate) unsafe fn new(tables: &'a T, iova: u64, len: u64) -> Self {
        // INVARIANT: By this function's contract.
        Held { tables, iova, len }
    }

    /// Returns the tables of the domain.
    #[inline(always)]
    pub fn tables(&self) -> &'a T {
        self.tables
    }

    /// Returns the first address.
    #[inline(always)]
    pub fn iova(&self) -> u64 {
        self.iova
    }

    /// Returns its length in bytes.
    #[inline(always)]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.len
    }
}
