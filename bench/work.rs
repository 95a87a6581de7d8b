// SPDX-License-Identifier: GPL-2.0

//! Works: what is mapped and unmapped again. At other offsets in the table than the memory's, but
//! for what larger pages need.

use kernel::prelude::*;
use kernel_ext::bench::{Answer, Domain};
use kernel_ext::pages::Gfp;

pub(crate) const KILO_4: u64 = 1 << 12;
pub(crate) const MEGA: u64 = 1 << 20;
pub(crate) const MEGA_2: u64 = 2 * MEGA;
pub(crate) const GIGA: u64 = 1 << 30;

/// The IOVA that all works begin from.
pub(crate) const BASE: u64 = 16 * GIGA;
/// The same of the memory; nothing does DMA, so it need not exist.
pub(crate) const PHYS: u64 = 2 * GIGA;

pub(crate) struct Work {
    pub(crate) name: &'static str,
    /// Of the IOVA from [`BASE`].
    offset: u64,
    /// Of the memory from [`PHYS`].
    phys: u64,
    size: u64,
    /// From one repetition to the next.
    stride: u64,
    /// Every other entry of the leaf table is in use.
    crowded: bool,
}

const fn work(name: &'static str, offset: u64, phys: u64, size: u64) -> Work {
    Work {
        name,
        offset,
        phys,
        size,
        stride: 0,
        crowded: false,
    }
}

const PHYS_4K: u64 = 77 * KILO_4;
const PHYS_2M: u64 = 77 * MEGA_2;
const MIXED: u64 = GIGA - MEGA_2 - KILO_4;

pub(crate) static WORKS: [Work; 9] = [
    work("4K", 3 * KILO_4, PHYS_4K, KILO_4),
    work("16x4K", 3 * KILO_4, PHYS_4K, 16 * KILO_4),
    work("256x4K", 131 * KILO_4, PHYS_4K, 256 * KILO_4),
    work("2M", 3 * MEGA_2, PHYS_2M, MEGA_2),
    work("256x2M", 131 * MEGA_2, PHYS_2M, 256 * MEGA_2),
    work("1G", GIGA, 3 * GIGA, GIGA),
    Work {
        crowded: true,
        ..work("4K-hole", 259 * KILO_4, PHYS_4K, KILO_4)
    },
    Work {
        stride: MEGA_2,
        ..work("4K-sparse", 3 * KILO_4, PHYS_4K, KILO_4)
    },
    work("mixed", MIXED, MIXED, KILO_4 + MEGA_2 + GIGA),
];

/// One repetition of a work: what the calls are given.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    iova: u64,
    phys: u64,
    size: u64,
}

impl Work {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        WORKS.iter().find(|work| work.name == name)
    }

    pub(crate) fn round(&self, number: u32) -> Round {
        Round {
            iova: BASE + self.offset + u64::from(number) * self.stride,
            phys: PHYS + self.phys,
            size: self.size,
        }
    }

    /// What is in the leaf table around it: offset and size from the base.
    fn around(&self) -> [(u64, u64); 2] {
        let after = self.offset + self.size;
        [(0, self.offset), (after, MEGA_2 - after)]
    }

    /// Maps what is around it, so that its table is what it asks for.
    pub(crate) fn surround(&self, domain: &mut Domain) -> Result {
        if self.crowded {
            for (at, size) in self.around() {
                domain.map(BASE + at, PHYS + at, size, Gfp::KERNEL).ok()?;
            }
        }
        Ok(())
    }

    /// Unmaps that again.
    pub(crate) fn clear(&self, domain: &mut Domain) {
        if self.crowded {
            for (at, size) in self.around() {
                domain.unmap(BASE + at, size);
            }
        }
    }
}

impl Round {
    /// Interrupts may be off.
    #[inline(always)]
    pub(crate) fn map(self, domain: &mut Domain) -> Answer {
        domain.map(self.iova, self.phys, self.size, Gfp::ATOMIC)
    }

    /// Interrupts may be off. How many bytes were unmapped: see [`Self::is_whole`].
    #[inline(always)]
    pub(crate) fn unmap(self, domain: &mut Domain) -> u64 {
        domain.unmap(self.iova, self.size)
    }

    /// Whether so many bytes are all of it; [`EIO`] if not.
    pub(crate) fn is_whole(self, bytes: u64) -> Result {
        if bytes == self.size {
            Ok(())
        } else {
            Err(EIO)
        }
    }

    pub(crate) fn is_mapped(self, domain: &Domain) -> bool {
        let last = self.size - 1;
        domain.translate(self.iova) == Some(self.phys)
            && domain.translate(self.iova + last) == Some(self.phys + last)
    }

    pub(crate) fn is_unmapped(self, domain: &Domain) -> bool {
        let last = self.size - 1;
        domain.translate(self.iova).is_none() && domain.translate(self.iova + last).is_none()
    }
}
