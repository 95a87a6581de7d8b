// SPDX-License-Identifier: GPL-2.0

//! Map and unmap with what must be invalidated after them, and freed after that.

use super::error::MapError;
use super::map::PendingMap;
use super::memory::TableMemory;
use super::unmap::PendingUnmap;
use super::PageTable;
use crate::spec::address::Iova;

/// What changes of the tables leave behind: ranges to be invalidated, and then tables to be freed.
pub trait FlushGather<P> {
    /// Takes a table that was unlinked. It is freed after the ranges were invalidated.
    fn retire(&mut self, table: P);

    /// Waits until no report can be in a table that was unlinked.
    fn wait_for_readers(&mut self);

    /// Adds a range to be invalidated, which may be empty.
    fn add(&mut self, iova: Iova, len: u64);
}

impl<M: TableMemory> PageTable<M> {
    /// Maps what [`map_existing`](Self::map_existing) has left.
    ///
    /// A large page may replace an empty table. Then the whole range is gathered, because hardware
    /// may have cached the link. Entries that a failed map wrote and cleared again were visible for
    /// a moment, so their range is gathered as well.
    ///
    /// # Errors
    ///
    /// Those of [`map`](Self::map). No mapping has changed then.
    pub fn map_gathered(
        &self,
        mem: &M,
        rest: PendingMap,
        gather: &mut impl FlushGather<M::Page>,
    ) -> Result<(), MapError> {
        let (iova, len) = rest.range();
        let mut retired = false;
        let done = self.map_slow(mem, rest, &mut |table| {
            retired = true;
            gather.retire(table)
        });
        if retired {
            gather.wait_for_readers();
            gather.add(iova, len);
        }
        done.map_err(|failed| {
            gather.add(iova, failed.undone);
            failed.error
        })
    }

    /// Unmaps what [`unmap_existing`](Self::unmap_existing) has left of the range that begins at
    /// `iova`, and returns the number of bytes. Gathers their range if tables were retired; the
    /// caller gathers the range of other entries.
    pub fn unmap_gathered(
        &self,
        mem: &M,
        rest: PendingUnmap,
        iova: Iova,
        gather: &mut impl FlushGather<M::Page>,
    ) -> u64 {
        let mut retired = false;
        let unmapped = self.unmap_slow(mem, rest, &mut |table| {
            retired = true;
            gather.retire(table)
        });
        if retired {
            gather.wait_for_readers();
            gather.add(iova, unmapped.bytes);
        }
        unmapped.bytes
    }
}
