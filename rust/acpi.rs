// SPDX-License-Identifier: GPL-2.0

//! ACPI tables as bytes.

use crate::bindings;
use crate::pages::NumaNode;
use core::ptr;
use kernel::prelude::*;

/// A firmware table, kept mapped while this lives.
///
/// # Invariants
///
/// `header` points at a mapped table of which at least `length` bytes are readable, and the
/// mapping lasts until `acpi_put_table`.
pub struct Table {
    header: *mut bindings::acpi_table_header,
    length: usize,
}

// SAFETY: The mapping belongs to no thread, and only shared reads are given out.
unsafe impl Send for Table {}
// SAFETY: As above.
unsafe impl Sync for Table {}

impl Table {
    /// Finds the first table with `signature`.
    ///
    /// # Errors
    ///
    /// [`ENODEV`] if firmware has none.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn find(signature: &[u8; 4]) -> Result<Self> {
        let mut name = [signature[0], signature[1], signature[2], signature[3], 0u8];
        let mut header: *mut bindings::acpi_table_header = ptr::null_mut();
        // SAFETY: `name` is a terminated string, `header` a place for the answer.
        let status = unsafe { bindings::acpi_get_table(name.as_mut_ptr().cast(), 1, &mut header) };
        if status != 0 || header.is_null() {
            return Err(ENODEV);
        }
        // SAFETY: ACPI mapped at least the header.
        let length = unsafe { (*header).length } as usize;
        // INVARIANT: acpi_get_table() mapped the whole table, `length` bytes long.
        Ok(Table { header, length })
    }

    /// Returns the bytes of the whole table, its header included, exactly as firmware wrote them.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: By the type's invariants; firmware's memory is not written while mapped.
        unsafe { core::slice::from_raw_parts(self.header.cast(), self.length) }
    }

    /// Returns `address` if the table contains it: if its eight bytes are somewhere in the table.
    pub fn find_address(&self, address: u64) -> Option<FirmwareAddress> {
        let named = |bytes: &[u8]| bytes == address.to_le_bytes();
        // INVARIANT: Just found.
        let found = self.bytes().windows(8).any(named);
        found.then_some(FirmwareAddress(address))
    }
}

/// A physical address that a firmware table contains.
///
/// # Invariants
///
/// It was in a table of this machine's firmware.
#[derive(Clone, Copy)]
pub struct FirmwareAddress(u64);

impl FirmwareAddress {
    /// Returns the address.
    pub fn raw(self) -> u64 {
        self.0
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: Balances acpi_get_table(); nothing borrowed from the table outlives `self`.
        unsafe { bindings::acpi_put_table(self.header) }
    }
}

/// Returns the NUMA node of a proximity domain, or [`NumaNode::NO_NODE`] if it has none that is
/// online.
pub fn node_of_proximity(domain: u32) -> NumaNode {
    // SAFETY: Any number is allowed.
    NumaNode::online(unsafe { bindings::vtd_helper_pxm_to_node(domain) })
}
