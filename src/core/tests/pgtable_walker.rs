// SPDX-License-Identifier: GPL-2.0

//! The hardware walk of a second-stage table: reads 64-bit words at physical addresses.
//!
//! It is written from the description of the walk (VT-d 3.7, 9.8; QEMU's vtd_iova_to_slpte is
//! another implementation) with separate constants, so that it shares no mistake with vtd_core.

use std::collections::BTreeSet;

/// The unit that walks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit {
    /// The context entry's address width field: 1, 2, 3 for 3, 4, 5 levels.
    pub(crate) aw: u8,
    /// The physical address bits; higher ones are reserved.
    pub(crate) host_bits: u32,
    /// The large pages that it supports.
    pub(crate) large_2m: bool,
    pub(crate) large_1g: bool,
    /// Whether the snoop bit is defined.
    pub(crate) snoop_control: bool,
}

/// The reason of a fault; the numbers are those of the specification's fault reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 4: the address is wider than the table.
    BeyondWidth,
    /// 5 and 6: no permission.
    NotAllowed,
    /// 7: a table cannot be read.
    TableUnreadable(u64),
    /// 0xc: reserved bits in an entry.
    ReservedBits(u64),
}

/// The translation of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reached {
    pub(crate) phys: u64,
    pub(crate) page_bytes: u64,
    pub(crate) snoop: bool,
}

/// A page found by reading the whole tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) iova: u64,
    pub(crate) phys: u64,
    pub(crate) bytes: u64,
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) snoop: bool,
}

/// The tables that a walk can reach: address and level.
pub(crate) type Tables = BTreeSet<(u64, u32)>;

impl Unit {
    fn levels(&self) -> u32 {
        u32::from(self.aw) + 2
    }

    fn width(&self) -> u32 {
        12 + 9 * self.levels()
    }

    /// Returns whether a present entry at `level` is a page; checks its reserved bits.
    fn is_page(&self, entry: u64, level: u32) -> Result<bool, Refusal> {
        let size_bit = entry & 0x80 != 0;
        let page = match level {
            1 => true,
            2 => size_bit && self.large_2m,
            3 => size_bit && self.large_1g,
            _ => false,
        };
        let beyond_host = entry & 0x000f_ffff_ffff_f000 & !((1u64 << self.host_bits) - 1);
        let inside_page = if page && level > 1 {
            entry & ((1u64 << (12 + 9 * (level - 1))) - 1) & !0xfff
        } else {
            0
        };
        let misplaced_size = if size_bit && !page { 0x80 } else { 0 };
        let misplaced_snoop = if page && self.snoop_control {
            0
        } else {
            entry & 0x800
        };
        let mapping_in_flight = entry & (1 << 62);
        let bad = beyond_host | inside_page | misplaced_size | misplaced_snoop | mapping_in_flight;
        if bad != 0 || (level == 1 && size_bit) {
            return Err(Refusal::ReservedBits(entry));
        }
        Ok(page)
    }

    /// Translates one request as the unit would, reading tables through `read`.
    pub(crate) fn translate(
        &self,
        read: &dyn Fn(u64) -> Option<u64>,
        top: u64,
        iova: u64,
        write: bool,
    ) -> Result<Reached, Refusal> {
        if iova >> self.width() != 0 {
            return Err(Refusal::BeyondWidth);
        }
        let (mut table, mut level, mut allowed) = (top, self.levels(), 3u64);
        loop {
            let low = 12 + 9 * (level - 1);
            let place = table + ((iova >> low) & 0x1ff) * 8;
            let entry = read(place).ok_or(Refusal::TableUnreadable(place))?;
            allowed &= entry & 3;
            if entry & 3 == 0 || (write && allowed & 2 == 0) || (!write && allowed & 1 == 0) {
                return Err(Refusal::NotAllowed);
            }
            let address = entry & 0x000f_ffff_ffff_f000;
            if self.is_page(entry, level)? {
                return Ok(Reached {
                    phys: address + (iova & ((1 << low) - 1)),
                    page_bytes: 1 << low,
                    snoop: entry & 0x800 != 0,
                });
            }
            table = address;
            level -= 1;
        }
    }

    /// Reads the whole tree: every page in order, and every table that a walk can reach
    /// with its level.
    pub(crate) fn everything(
        &self,
        read: &dyn Fn(u64) -> Option<u64>,
        top: u64,
    ) -> Result<(Vec<Found>, Tables), Refusal> {
        let mut pages = Vec::new();
        let mut tables = BTreeSet::new();
        // The tables still to be read, the next one last.
        let mut todo = vec![(top, self.levels(), 0u64, 3u64)];
        while let Some((table, level, base, above)) = todo.pop() {
            assert!(tables.insert((table, level)), "two links to {table:#x}");
            let low = 12 + 9 * (level - 1);
            let mut links = Vec::new();
            for index in 0..512u64 {
                let place = table + index * 8;
                let entry = read(place).ok_or(Refusal::TableUnreadable(place))?;
                if entry & 3 == 0 {
                    assert_eq!(entry, 0, "an entry that is absent but not 0");
                    continue;
                }
                let allowed = above & entry;
                let (iova, address) = (base + (index << low), entry & 0x000f_ffff_ffff_f000);
                if self.is_page(entry, level)? {
                    pages.push(Found {
                        iova,
                        phys: address,
                        bytes: 1 << low,
                        read: allowed & 1 != 0,
                        write: allowed & 2 != 0,
                        snoop: entry & 0x800 != 0,
                    });
                } else {
                    links.push((address, level - 1, iova, allowed));
                }
            }
            todo.extend(links.into_iter().rev());
        }
        pages.sort_by_key(|page| page.iova);
        Ok((pages, tables))
    }
}

#[test]
fn the_walker_reads_tables_written_by_hand() {
    // A directory-pointer table at 0x1000, a directory at 0x2000, a page table at 0x3000.
    let read = |place: u64| -> Option<u64> {
        Some(match place {
            0x1008 => 0x2003,
            0x2010 => 0x3003,
            0x3018 => 0x0abc_d001,
            0x2018 => 0x4020_0083,
            0x2020 => 0x4020_1083,
            0x1010 => 0x1_8000_0883,
            0x1018 => 0x2002,
            0x1000..=0x3fff => 0,
            _ => return None,
        })
    };
    let unit = Unit {
        aw: 1,
        host_bits: 36,
        large_2m: true,
        large_1g: true,
        snoop_control: true,
    };
    let go = |iova, write| unit.translate(&read, 0x1000, iova, write);
    let page = |phys, page_bytes, snoop| {
        Ok(Reached {
            phys,
            page_bytes,
            snoop,
        })
    };
    assert_eq!(go(0x4040_3123, false), page(0x0abc_d123, 0x1000, false));
    assert_eq!(go(0x4040_3123, true), Err(Refusal::NotAllowed));
    assert_eq!(go(0x4071_2345, true), page(0x4031_2345, 0x20_0000, false));
    assert_eq!(
        go(0x4080_0000, true),
        Err(Refusal::ReservedBits(0x4020_1083))
    );
    assert_eq!(
        go(0x8000_0042, true),
        page(0x1_8000_0042, 0x4000_0000, true)
    );
    // The link at index 3 allows writes only, whatever the leaf allows.
    assert_eq!(go(0xc060_0000, false), Err(Refusal::NotAllowed));
    assert_eq!(go(0xc060_0000, true), page(0x4020_0000, 0x20_0000, false));
    assert_eq!(go(0, false), Err(Refusal::NotAllowed));
    assert_eq!(go(1 << 39, false), Err(Refusal::BeyondWidth));

    let no_snoop = Unit {
        snoop_control: false,
        ..unit
    };
    assert_eq!(
        no_snoop.translate(&read, 0x1000, 0x8000_0000, false),
        Err(Refusal::ReservedBits(0x1_8000_0883))
    );
    let no_large = Unit {
        large_2m: false,
        ..unit
    };
    assert_eq!(
        no_large.translate(&read, 0x1000, 0x4060_0000, true),
        Err(Refusal::ReservedBits(0x4020_0083))
    );
}
