// SPDX-License-Identifier: GPL-2.0

//! The quick way: requests that are served by one run of entries in one table.
//!
//! Nearly all requests are such: a page, a buffer, a large page. They need no more than
//! to go down to the table and to write the run.

use super::level::{Directory, TableLevel, L1, L2, L3, L4, L5};
use super::memory::TableMemory;
use super::{at_top, SecondStage};
use crate::spec::level::TABLE_BITS;

/// A level from which a walk can go straight down to a table of level `T`.
pub(super) trait Find<T: TableLevel>: TableLevel {
    /// The table of level `T` that serves `iova`, or `None` if a larger page or nothing does.
    fn find<M: TableMemory>(table: M::Table<Self>, mem: &M, iova: u64) -> Option<M::Table<T>>;
}

macro_rules! find_itself {
    ($($level:ident)*) => {$(
        impl Find<$level> for $level {
            #[inline(always)]
            fn find<M: TableMemory>(
                table: M::Table<Self>,
                _: &M,
                _: u64,
            ) -> Option<M::Table<Self>> {
                Some(table)
            }
        }
    )*};
}
find_itself! { L1 L2 L3 }

impl<T: TableLevel, L: Directory> Find<T> for L
where
    L::Child: Find<T>,
{
    #[inline(always)]
    fn find<M: TableMemory>(table: M::Table<Self>, mem: &M, iova: u64) -> Option<M::Table<T>> {
        let child = mem.child(table, Self::index(iova))?;
        L::Child::find(child, mem, iova)
    }
}

impl<M: TableMemory> SecondStage<M> {
    /// The table of level `T` that serves `iova`, if there is one.
    #[inline(always)]
    pub(super) fn table_at<T: TableLevel>(&self, mem: &M, iova: u64) -> Option<M::Table<T>>
    where
        L3: Find<T>,
        L4: Find<T>,
        L5: Find<T>,
    {
        at_top!(self, L, top => <L as Find<T>>::find(top, mem, iova))
    }
}

/// Whether a range of the aperture, not all of a table of level `L`, lies in a single one.
///
/// Such a range covers no table of that level whole, and holds no page of the level above.
#[inline(always)]
pub(super) fn is_in_one_table<L: TableLevel>(iova: u64, len: u64) -> bool {
    let span = L::SPAN << TABLE_BITS;
    // Below the aperture's 57 bits, so that the sum cannot wrap.
    len < span && (iova & (span - 1)).wrapping_add(len) <= span
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_table_is_less_than_its_span_and_does_not_cross_it() {
        assert!(is_in_one_table::<L1>(0x1f_f000, 0x1000));
        assert!(!is_in_one_table::<L1>(0x1f_f000, 0x2000));
        assert!(is_in_one_table::<L1>(0x1000, 0x1f_f000));
        assert!(!is_in_one_table::<L1>(0, 0x20_0000));
        assert!(is_in_one_table::<L2>(0x4000_0000, 0x3fe0_0000));
        assert!(!is_in_one_table::<L2>(0x4020_0000, 0x4000_0000));
    }
}
