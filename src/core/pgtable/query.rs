// SPDX-License-Identifier: GPL-2.0

//! Query: the translation of one address.

use super::descend::ReadLeaf;
use super::format::{Format, Prot};
use super::level::TableLevel;
use super::memory::TableMemory;
use super::PageTable;
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
        self.read_leaf(mem, iova.raw(), Query)
    }
}

/// A query.
struct Query;

impl<F: Format> ReadLeaf<F> for Query {
    type Leaf = MappedPage;

    #[inline(always)]
    fn read<L: TableLevel>(self, entry: u64, iova: u64) -> Option<MappedPage> {
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
}
