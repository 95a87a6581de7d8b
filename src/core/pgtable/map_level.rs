// SPDX-License-Identifier: GPL-2.0

//! The slow path of a map, level by level: allocates missing tables, and removes empty tables where
//! a large page fits.

use super::at;
use super::descend::fits;
use super::error::MapError;
use super::level::{Directory, TableLevel, L1};
use super::memory::{PresentEntry, TableMemory};
use super::release::ReleaseLevel;
use super::visit::first_leaf;
use super::walk::WalkLevel;
use crate::spec::address::Iova;
use crate::spec::level::TABLE_ENTRIES;

/// The state of a map in progress: what is still to be mapped.
pub(super) struct MapCursor<'a, M: TableMemory, R: FnMut(M::Page)> {
    pub(super) mem: &'a M,
    /// The start of the rest.
    pub(super) iova: u64,
    /// The next leaf of level 1: address and permissions. It advances with `iova`. The address
    /// stays within 52 bits, because the whole range was checked before.
    pub(super) entry: u64,
    /// The length of the rest in bytes.
    pub(super) left: u64,
    /// Bit n: leaves of 2^n bytes are allowed.
    pub(super) page_sizes: u64,
    pub(super) retire: &'a mut R,
}

impl<M: TableMemory, R: FnMut(M::Page)> MapCursor<'_, M, R> {
    /// Returns whether the rest can start with a leaf of level `L`.
    #[inline(always)]
    fn fits<L: TableLevel>(&self) -> bool {
        fits::<M::Format, L>(self.iova, self.entry, self.left, self.page_sizes)
    }

    /// Writes leaves of level `L` from `index` on, until the end of the rest, the end of the table
    /// or the first entry that is not 0. Returns how many it wrote, and how many fitted.
    #[inline(always)]
    fn fill<L: TableLevel>(&mut self, table: M::Table<L>, index: usize) -> (usize, usize) {
        let room = TABLE_ENTRIES.wrapping_sub(index);
        let wanted = room.min((self.left >> L::SHIFT) as usize);
        let done = self.mem.fill(table, index, wanted, self.entry);
        if done != 0 {
            self.mem.flush(table, index, done);
        }
        let bytes = (done as u64) << L::SHIFT;
        self.iova = self.iova.wrapping_add(bytes);
        self.entry = self.entry.wrapping_add(bytes);
        self.left = self.left.wrapping_sub(bytes);
        (done, wanted)
    }

    fn in_use(&self) -> MapError {
        MapError::AddressInUse {
            iova: Iova::new(self.iova),
        }
    }
}

/// A level at which a map can write entries.
pub(super) trait MapLevel: TableLevel {
    /// Maps the rest, up to its end or to the end of `table`.
    ///
    /// # Errors
    ///
    /// The reason why the rest was not mapped. `cursor` then holds the address at which the map
    /// failed.
    fn map<M: TableMemory, R: FnMut(M::Page)>(
        table: M::Table<Self>,
        cursor: &mut MapCursor<'_, M, R>,
    ) -> Result<(), MapError>;
}

impl MapLevel for L1 {
    #[inline]
    fn map<M: TableMemory, R: FnMut(M::Page)>(
        table: M::Table<Self>,
        cursor: &mut MapCursor<'_, M, R>,
    ) -> Result<(), MapError> {
        let (done, wanted) = cursor.fill(table, Self::index(cursor.iova));
        if done < wanted {
            return Err(cursor.in_use());
        }
        Ok(())
    }
}

impl<L: Directory> MapLevel for L
where
    L::Child: MapLevel + ReleaseLevel + WalkLevel,
{
    #[inline]
    fn map<M: TableMemory, R: FnMut(M::Page)>(
        table: M::Table<Self>,
        cursor: &mut MapCursor<'_, M, R>,
    ) -> Result<(), MapError> {
        let mut index = Self::index(cursor.iova);
        while index < TABLE_ENTRIES && cursor.left != 0 {
            if cursor.fits::<Self>() {
                let (done, wanted) = cursor.fill(table, index);
                index = index.wrapping_add(done);
                if done < wanted {
                    remove_empty_table::<Self, M, R>(table, index, cursor)?;
                }
            } else {
                let child = child_or_install::<Self, M, R>(table, index, cursor)?;
                L::Child::map(child, cursor)?;
                index = index.wrapping_add(1);
            }
        }
        Ok(())
    }
}

/// Returns the table to which entry `index` points, or installs one if the entry is 0.
#[inline(always)]
fn child_or_install<L: Directory, M: TableMemory, R: FnMut(M::Page)>(
    table: M::Table<L>,
    index: usize,
    cursor: &MapCursor<'_, M, R>,
) -> Result<M::Table<L::Child>, MapError> {
    match cursor.mem.load_entry(table, index) {
        Some(PresentEntry::Table(child)) => Ok(child),
        Some(PresentEntry::Leaf(_)) => Err(cursor.in_use()),
        None => install::<L, M, R>(table, index, cursor),
    }
}

/// Links a new table, or returns the one that another thread has linked concurrently.
fn install<L: Directory, M: TableMemory, R: FnMut(M::Page)>(
    table: M::Table<L>,
    index: usize,
    cursor: &MapCursor<'_, M, R>,
) -> Result<M::Table<L::Child>, MapError> {
    let Ok(child) = cursor.mem.alloc::<L::Child>() else {
        return Err(MapError::OutOfMemory);
    };
    match cursor.mem.link(table, index, child) {
        Ok(()) => Ok(child),
        Err(there) => {
            cursor.mem.discard(child);
            match there {
                PresentEntry::Table(other) => Ok(other),
                PresentEntry::Leaf(_) => Err(cursor.in_use()),
            }
        }
    }
}

/// Removes the empty table from the entry where a large page is to be written.
///
/// The page covers the whole entry and the caller holds its range, so no other thread can be in the
/// table. Hardware may still walk it, so the table is retired, not freed.
#[cold]
fn remove_empty_table<L: Directory, M: TableMemory, R: FnMut(M::Page)>(
    table: M::Table<L>,
    index: usize,
    cursor: &mut MapCursor<'_, M, R>,
) -> Result<(), MapError>
where
    L::Child: ReleaseLevel + WalkLevel,
{
    let Some(PresentEntry::Table(child)) = cursor.mem.load_entry(table, index) else {
        return Err(cursor.in_use());
    };
    if let Some(offset) = first_leaf::<L::Child, M>(child, cursor.mem) {
        let iova = at(cursor.iova, offset);
        return Err(MapError::AddressInUse { iova });
    }
    cursor.mem.unlink(table, index);
    cursor.mem.flush(table, index, 1);
    L::Child::release(child, cursor.mem, cursor.retire);
    Ok(())
}
