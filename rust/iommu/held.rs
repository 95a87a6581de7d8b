// SPDX-License-Identifier: GPL-2.0

//! What the core promises of an address range when it calls a domain.

/// A range of a domain's addresses, held for one call of the core: as `pt_iommu_ops` demands of its
/// callers (`linux/generic_pt/iommu.h`), no other call maps or unmaps a part of it, nor of a
/// mapping that reaches into it.
///
/// Only this crate makes one, for the tables of the domain that the core has called. So a function
/// that takes one by value is the only one that changes what is mapped there, and for a function
/// that borrows one nothing there changes. A type that frees tables with the range that they serve
/// needs no unsafe function for that.
///
/// # Invariants
///
/// `iova..iova + len` of `tables` is held for `'a`, as above. It may reach beyond all addresses.
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
    /// For `'a`, the range must be held as the type says: for changing if the result is given away,
    /// for reading if it is lent.
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

    /// Returns how many bytes it has.
    #[inline(always)]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.len
    }
}
