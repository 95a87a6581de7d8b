// SPDX-License-Identifier: GPL-2.0

//! The stages, the levels of their tables, the page sizes and the address widths (VT-d 3.6, 3.7).

use super::address::{Iova, PAGE_SHIFT};
use super::bits;
use core::fmt;

/// log2 of the number of entries in one table.
pub const TABLE_BITS: u32 = 9;

/// The number of entries in one table.
pub const TABLE_ENTRIES: usize = 1 << TABLE_BITS;

/// A stage of translation (VT-d 3.6, 3.7), which has a format of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The first: the format of the processor's own tables. Scalable mode only.
    First,
    /// The second.
    Second,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first-stage",
            Self::Second => "second-stage",
        })
    }
}

/// A level of a table of either stage; level 1 holds the entries of 4 KiB pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Page table: an entry spans 4 KiB.
    L1 = 1,
    /// Page directory: an entry spans 2 MiB.
    L2 = 2,
    /// Page-directory-pointer table: an entry spans 1 GiB.
    L3 = 3,
    /// PML4 table: an entry spans 512 GiB.
    L4 = 4,
    /// PML5 table: an entry spans 256 TiB.
    L5 = 5,
}

impl Level {
    /// Returns the level `number`, or `None` outside 1 to 5.
    pub const fn new(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::L1),
            2 => Some(Self::L2),
            3 => Some(Self::L3),
            4 => Some(Self::L4),
            5 => Some(Self::L5),
            _ => None,
        }
    }

    /// Returns the number of the level, 1 to 5.
    pub const fn number(self) -> u8 {
        match self {
            Self::L1 => 1,
            Self::L2 => 2,
            Self::L3 => 3,
            Self::L4 => 4,
            Self::L5 => 5,
        }
    }

    /// Returns log2 of the bytes that one entry of this level spans: 12, 21, 30, 39, 48.
    pub const fn page_shift(self) -> u32 {
        match self {
            Self::L1 => 12,
            Self::L2 => 21,
            Self::L3 => 30,
            Self::L4 => 39,
            Self::L5 => 48,
        }
    }

    /// Returns the bytes that one entry of this level spans.
    pub const fn entry_span(self) -> u64 {
        bits::one(self.page_shift())
    }

    /// Returns the bytes that a whole table of this level spans.
    pub const fn table_span(self) -> u64 {
        bits::one(self.page_shift() + TABLE_BITS)
    }

    /// Returns the level below, or `None` at level 1.
    pub const fn below(self) -> Option<Self> {
        match self {
            Self::L1 => None,
            Self::L2 => Some(Self::L1),
            Self::L3 => Some(Self::L2),
            Self::L4 => Some(Self::L3),
            Self::L5 => Some(Self::L4),
        }
    }

    /// Returns the level above, or `None` at level 5.
    pub const fn above(self) -> Option<Self> {
        match self {
            Self::L1 => Some(Self::L2),
            Self::L2 => Some(Self::L3),
            Self::L3 => Some(Self::L4),
            Self::L4 => Some(Self::L5),
            Self::L5 => None,
        }
    }

    /// Returns the entry of a table of this level that serves `iova`; below [`TABLE_ENTRIES`].
    pub const fn index(self, iova: Iova) -> usize {
        let low = self.page_shift();
        bits::field(iova.raw(), low + TABLE_BITS - 1, low) as usize
    }

    /// Returns the size of the page that a leaf at this level maps, or `None` where no unit has
    /// leaves.
    pub const fn page_size(self) -> Option<PageSize> {
        match self {
            Self::L1 => Some(PageSize::Size4K),
            Self::L2 => Some(PageSize::Size2M),
            Self::L3 => Some(PageSize::Size1G),
            Self::L4 | Self::L5 => None,
        }
    }
}

/// The size of a page that a second-stage table can map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PageSize {
    /// 4 KiB; every unit supports it.
    Size4K,
    /// 2 MiB; `CAP.SSLPS` bit 0.
    Size2M,
    /// 1 GiB; `CAP.SSLPS` bit 1.
    Size1G,
}

impl PageSize {
    /// Returns the level whose entries map pages of this size.
    pub const fn level(self) -> Level {
        match self {
            Self::Size4K => Level::L1,
            Self::Size2M => Level::L2,
            Self::Size1G => Level::L3,
        }
    }

    /// Returns log2 of the size in bytes.
    pub const fn shift(self) -> u32 {
        self.level().page_shift()
    }

    /// Returns the size in bytes, which is also its bit in the kernel's `pgsize_bitmap`.
    pub const fn bytes(self) -> u64 {
        self.level().entry_span()
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size4K => "4K",
            Self::Size2M => "2M",
            Self::Size1G => "1G",
        })
    }
}

/// The width of a second-stage input address, which is also the depth of the table.
///
/// The specification calls it adjusted guest address width (VT-d 3.7, `CAP.SAGAW`). The 30-bit and
/// 64-bit widths that old revisions reserve are not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressWidth {
    /// 39 bits, 3 levels.
    Bits39,
    /// 48 bits, 4 levels.
    Bits48,
    /// 57 bits, 5 levels.
    Bits57,
}

impl AddressWidth {
    /// All widths, the widest first.
    pub const WIDEST_FIRST: [Self; 3] = [Self::Bits57, Self::Bits48, Self::Bits39];

    /// Returns the width in bits.
    pub const fn bits(self) -> u32 {
        PAGE_SHIFT + TABLE_BITS * self.top().number() as u32
    }

    /// Returns the number of levels that a walk reads.
    pub const fn levels(self) -> u8 {
        self.top().number()
    }

    /// Returns the level of the table that the context entry points to.
    pub const fn top(self) -> Level {
        match self {
            Self::Bits39 => Level::L3,
            Self::Bits48 => Level::L4,
            Self::Bits57 => Level::L5,
        }
    }

    /// Returns the width's code: its bit in `CAP.SAGAW`, and the value of a context entry's AW
    /// field.
    pub const fn code(self) -> u8 {
        match self {
            Self::Bits39 => 1,
            Self::Bits48 => 2,
            Self::Bits57 => 3,
        }
    }

    /// Returns the width whose code is `code`, or `None` for a reserved one.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Bits39),
            2 => Some(Self::Bits48),
            3 => Some(Self::Bits57),
            _ => None,
        }
    }

    /// Returns the highest address of this width.
    pub const fn last(self) -> Iova {
        Iova::new(bits::low_mask(self.bits()))
    }
}

impl fmt::Display for AddressWidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-bit ({} levels)", self.bits(), self.levels())
    }
}
