// SPDX-License-Identifier: GPL-2.0

//! Workloads: ranges that are mapped and unmapped repeatedly. IOVA and memory have different
//! offsets in their tables, except where larger pages need the same alignment.

use kernel::prelude::*;
use kernel_ext::bench::{ConsumerDomain, MapStatus};
use kernel_ext::pages::Gfp;

pub(crate) const SZ_4K: u64 = 1 << 12;
pub(crate) const SZ_1M: u64 = 1 << 20;
pub(crate) const SZ_2M: u64 = 2 * SZ_1M;
pub(crate) const SZ_1G: u64 = 1 << 30;

/// The IOVA to which the offsets of all workloads are added.
pub(crate) const IOVA_BASE: u64 = 16 * SZ_1G;
/// The same for the memory. It need not exist, because nothing does DMA.
pub(crate) const PHYS_BASE: u64 = 2 * SZ_1G;

pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// Offset of the IOVA from [`IOVA_BASE`].
    offset: u64,
    /// Offset of the memory from [`PHYS_BASE`].
    phys: u64,
    size: u64,
    /// How far the IOVA moves from one repetition to the next.
    stride: u64,
    /// Whether all other entries of the leaf table are in use.
    crowded: bool,
}

const fn workload(name: &'static str, offset: u64, phys: u64, size: u64) -> Workload {
    Workload {
        name,
        offset,
        phys,
        size,
        stride: 0,
        crowded: false,
    }
}

const PHYS_4K: u64 = 77 * SZ_4K;
const PHYS_2M: u64 = 77 * SZ_2M;
const MIXED: u64 = SZ_1G - SZ_2M - SZ_4K;

pub(crate) static WORKLOADS: [Workload; 9] = [
    workload("4K", 3 * SZ_4K, PHYS_4K, SZ_4K),
    workload("16x4K", 3 * SZ_4K, PHYS_4K, 16 * SZ_4K),
    workload("256x4K", 131 * SZ_4K, PHYS_4K, 256 * SZ_4K),
    workload("2M", 3 * SZ_2M, PHYS_2M, SZ_2M),
    workload("256x2M", 131 * SZ_2M, PHYS_2M, 256 * SZ_2M),
    workload("1G", SZ_1G, 3 * SZ_1G, SZ_1G),
    Workload {
        crowded: true,
        ..workload("4K-hole", 259 * SZ_4K, PHYS_4K, SZ_4K)
    },
    Workload {
        stride: SZ_2M,
        ..workload("4K-sparse", 3 * SZ_4K, PHYS_4K, SZ_4K)
    },
    workload("mixed", MIXED, MIXED, SZ_4K + SZ_2M + SZ_1G),
];

/// One repetition of a workload: the arguments of its calls.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    iova: u64,
    phys: u64,
    size: u64,
}

impl Workload {
    /// Finds the workload called `name`.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        WORKLOADS.iter().find(|work| work.name == name)
    }

    /// Returns the arguments of repetition `number`.
    pub(crate) fn round(&self, number: u32) -> Round {
        Round {
            iova: IOVA_BASE + self.offset + u64::from(number) * self.stride,
            phys: PHYS_BASE + self.phys,
            size: self.size,
        }
    }

    /// Returns the ranges in the leaf table around it: offset from the base, and size.
    fn neighbours(&self) -> [(u64, u64); 2] {
        let after = self.offset + self.size;
        [(0, self.offset), (after, SZ_2M - after)]
    }

    /// Maps the ranges around it, if it is `crowded`.
    ///
    /// # Errors
    ///
    /// The error of the core.
    pub(crate) fn map_neighbours(&self, domain: &mut ConsumerDomain) -> Result {
        if self.crowded {
            for (at, size) in self.neighbours() {
                domain
                    .map(IOVA_BASE + at, PHYS_BASE + at, size, Gfp::KERNEL)
                    .ok()?;
            }
        }
        Ok(())
    }

    /// Unmaps the ranges around it.
    pub(crate) fn unmap_neighbours(&self, domain: &mut ConsumerDomain) {
        if self.crowded {
            for (at, size) in self.neighbours() {
                domain.unmap(IOVA_BASE + at, size);
            }
        }
    }
}

impl Round {
    /// Maps it. Interrupts may be off.
    #[inline(always)]
    pub(crate) fn map(self, domain: &mut ConsumerDomain) -> MapStatus {
        domain.map(self.iova, self.phys, self.size, Gfp::ATOMIC)
    }

    /// Unmaps it, and returns how many bytes were unmapped, for [`Self::check_size`]. Interrupts
    /// may be off.
    #[inline(always)]
    pub(crate) fn unmap(self, domain: &mut ConsumerDomain) -> u64 {
        domain.unmap(self.iova, self.size)
    }

    /// Checks that all of it was unmapped.
    ///
    /// # Errors
    ///
    /// [`EIO`] if not.
    pub(crate) fn check_size(self, bytes: u64) -> Result {
        if bytes == self.size {
            Ok(())
        } else {
            Err(EIO)
        }
    }

    /// Returns whether the domain maps its first and its last byte to the right addresses.
    pub(crate) fn is_mapped(self, domain: &ConsumerDomain) -> bool {
        let last = self.size - 1;
        domain.translate(self.iova) == Some(self.phys)
            && domain.translate(self.iova + last) == Some(self.phys + last)
    }

    /// Returns whether the domain maps neither its first nor its last byte.
    pub(crate) fn is_unmapped(self, domain: &ConsumerDomain) -> bool {
        let last = self.size - 1;
        domain.translate(self.iova).is_none() && domain.translate(self.iova + last).is_none()
    }
}
