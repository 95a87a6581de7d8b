// SPDX-License-Identifier: GPL-2.0

//! Query: the translation of one address.

use super::format::{Format, Prot};
use super::level::{Directory, TableLevel, L1};
use super::memory::{PresentEntry, TableMemory};
use super::{at_top, PageTable};
use crate::spec::address::{Iova, PhysAddr};
use crate::spec::level::PageSize;
use crate::spec::pte::DecodedEntry;

/// The translation of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedPage {
    /// The physical address, offset within the page included.
    pub paddr: PhysAddr,
    /// The page that holds it.
    pub size: PageSize,
    /// The accesses that a device may make.
    pub prot: Prot,
}

impl<M: TableMemory> PageTable<M> {
    /// Returns the translation of `iova`, or `None` if it is not mapped.
    ///
    /// # Context
    ///
    /// The caller holds the range, or guarantees otherwise that tables in it are not freed.
    #[inline]
    pub fn query(&self, mem: &M, iova: Iova) -> Option<MappedPage> {
        if iova.raw() > self.last_iova {
            return None;
        }
        at_top!(self, L, top => L::query(top, mem, iova.raw()))
    }
}

/// A level through which a query descends.
trait QueryLevel: TableLevel {
    /// Returns the page that maps `iova` in `table` or below it.
    fn query<M: TableMemory>(table: M::Table<Self>, mem: &M, iova: u64) -> Option<MappedPage>;
}

impl QueryLevel for L1 {
    #[inline(always)]
    fn query<M: TableMemory>(table: M::Table<Self>, mem: &M, iova: u64) -> Option<MappedPage> {
        decode_leaf::<M::Format, Self>(mem.leaf(table, Self::index(iova))?, iova)
    }
}

impl<L: Directory> QueryLevel for L
where
    L::Child: QueryLevel,
{
    #[inline(always)]
    fn query<M: TableMemory>(table: M::Table<Self>, mem: &M, iova: u64) -> Option<MappedPage> {
        match mem.load_entry(table, Self::index(iova))? {
            PresentEntry::Table(child) => L::Child::query(child, mem, iova),
            PresentEntry::Leaf(entry) => decode_leaf::<M::Format, Self>(entry, iova),
        }
    }
}

/// Returns the translation of `iova` by the leaf `entry` of level `L`.
#[inline(always)]
fn decode_leaf<F: Format, L: TableLevel>(entry: u64, iova: u64) -> Option<MappedPage> {
    match F::decode(entry, L::LEVEL) {
        DecodedEntry::Leaf {
            address,
            size,
            access,
            snoop,
        } => Some(MappedPage {
            paddr: PhysAddr::new(address.raw() | L::offset(iova)),
            size,
            prot: Prot { access, snoop },
        }),
        DecodedEntry::Absent | DecodedEntry::Table { .. } => None,
    }
}
