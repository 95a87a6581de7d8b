// SPDX-License-Identifier: GPL-2.0

//! Table levels as types, so that every step of a walk is compiled for its level.
//!
//! [`spec::level::Level`](Level) is the same as a value. Here tables of level 2 and of level 1 have
//! different types: code cannot write a link to a table of the wrong level, and shifts and masks
//! are constants.

use crate::spec::level::{Level, TABLE_ENTRIES};

mod sealed {
    pub trait Sealed {}
}

/// One of [`L1`] to [`L5`].
pub trait TableLevel: sealed::Sealed + Copy + 'static {
    /// The same level as a value.
    const LEVEL: Level;

    /// log2 of the bytes that one entry of such a table spans.
    const SHIFT: u32 = Self::LEVEL.page_shift();

    /// The bytes that one entry of such a table spans.
    const SPAN: u64 = Self::LEVEL.entry_span();

    /// Whether units exist whose tables of this level hold leaves.
    const HAS_LEAVES: bool = Self::LEVEL.page_size().is_some();

    /// Returns the index of the entry that serves `iova`; always below [`TABLE_ENTRIES`].
    #[inline(always)]
    fn index(iova: u64) -> usize {
        (iova >> Self::SHIFT) as usize & (TABLE_ENTRIES - 1)
    }

    /// Returns the position of `iova` within the span of its entry, in bytes.
    #[inline(always)]
    fn offset(iova: u64) -> u64 {
        iova & (Self::SPAN - 1)
    }
}

/// A level whose entries may be links to tables of the level below.
pub trait Directory: TableLevel {
    /// The level below.
    type Child: TableLevel;
}

macro_rules! level {
    ($(#[$doc:meta])* $name:ident $(over $child:ident)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name;

        impl sealed::Sealed for $name {}

        impl TableLevel for $name {
            const LEVEL: Level = Level::$name;
        }

        $(impl Directory for $name {
            type Child = $child;
        })?
    };
}

level! {
    /// Page table: entries are pages of 4 KiB.
    L1
}
level! {
    /// Page directory: links, or pages of 2 MiB.
    L2 over L1
}
level! {
    /// Page-directory-pointer table: links, or pages of 1 GiB.
    L3 over L2
}
level! {
    /// PML4 table: links only.
    L4 over L3
}
level! {
    /// PML5 table: links only.
    L5 over L4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_levels_of_the_specification_hold_leaves() {
        let leaves = [
            L1::HAS_LEAVES,
            L2::HAS_LEAVES,
            L3::HAS_LEAVES,
            L4::HAS_LEAVES,
            L5::HAS_LEAVES,
        ];
        assert_eq!(leaves, [true, true, true, false, false]);
    }

    #[test]
    fn indices_take_nine_bits_each() {
        let iova = (1 << 48) | (2 << 39) | (3 << 30) | (4 << 21) | (5 << 12) | 6;
        assert_eq!(L5::index(iova), 1);
        assert_eq!(L4::index(iova), 2);
        assert_eq!(L3::index(iova), 3);
        assert_eq!(L2::index(iova), 4);
        assert_eq!(L1::index(iova), 5);
        assert_eq!(L1::offset(iova), 6);
        assert_eq!(L1::index(u64::MAX), 511);
    }
}
