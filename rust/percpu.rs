// SPDX-License-Identifier: GPL-2.0

//! Per-CPU counters, and the numbers of processors.
//!
//! A shared counter costs a transfer of its cache line for each increment, which is more than the
//! operations cost that are counted here. A per-CPU counter costs one instruction.

use crate::bindings;
use crate::pages::Charge;
use core::ptr::NonNull;
use kernel::cpu::{nr_cpu_ids, CpuId};
use kernel::prelude::*;

/// The assembly operand of this processor's counter, `$index` bytes after the first.
#[cfg(CONFIG_SMP)]
macro_rules! own {
    ($index:literal) => {
        concat!("qword ptr gs:[{base} + {", $index, "}]")
    };
}
#[cfg(not(CONFIG_SMP))]
macro_rules! own {
    ($index:literal) => {
        concat!("qword ptr [{base} + {", $index, "}]")
    };
}

/// `N` per-CPU counters that only grow.
///
/// # Invariants
///
/// `base` was returned by `vtd_helper_alloc_counts` for `N` counts and not freed.
pub struct PerCpuCounters<const N: usize> {
    base: NonNull<u64>,
}

// SAFETY: Belongs to no thread; a count is changed by its processor alone, in one instruction.
unsafe impl<const N: usize> Send for PerCpuCounters<N> {}
// SAFETY: As above.
unsafe impl<const N: usize> Sync for PerCpuCounters<N> {}

impl<const N: usize> PerCpuCounters<N> {
    /// Allocates counts, all 0.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    pub fn new(charge: Charge) -> Result<Self> {
        // SAFETY: Any number is allowed.
        let base = unsafe { bindings::vtd_helper_alloc_counts(N as u32, charge.gfp().0) };
        // INVARIANT: Freshly allocated for `N` counts.
        Ok(PerCpuCounters {
            base: NonNull::new(base).ok_or(ENOMEM)?,
        })
    }

    /// Adds 1 to count `INDEX`.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(always)]
    pub fn inc<const INDEX: usize>(&self) {
        const { assert!(INDEX < N) };
        // SAFETY: By the type's invariants this is a per-CPU address of a count. One instruction
        // cannot be interrupted half done, nor can its processor change during it.
        unsafe {
            core::arch::asm!(
                concat!("inc ", own!("index")),
                base = in(reg) self.base.as_ptr(), index = const INDEX * 8,
                options(nostack)
            );
        }
    }

    /// Adds 1 to count `INDEX` and `n` to count `SUM`. A concurrent reader may see only one of both
    /// changes.
    ///
    /// # Context
    ///
    /// Any context.
    #[inline(always)]
    pub fn inc_and_add<const INDEX: usize, const SUM: usize>(&self, n: u64) {
        const { assert!(INDEX < N && SUM < N) };
        // SAFETY: As for `inc`, for each instruction separately: the processor may change in
        // between.
        unsafe {
            core::arch::asm!(
                concat!("inc ", own!("index")),
                concat!("add ", own!("sum"), ", {n}"),
                base = in(reg) self.base.as_ptr(), index = const INDEX * 8, sum = const SUM * 8,
                n = in(reg) n,
                options(nostack)
            );
        }
    }

    /// Returns the sum of count `INDEX` over all processors.
    pub fn sum<const INDEX: usize>(&self) -> u64 {
        const { assert!(INDEX < N) };
        // SAFETY: By the type's invariants.
        unsafe { bindings::vtd_helper_sum_count(self.base.as_ptr(), INDEX as u32) }
    }
}

/// Returns the number of the processor that this code runs on, or has just run on.
///
/// # Context
///
/// Any context.
#[inline(always)]
pub fn this_cpu() -> usize {
    CpuId::current().as_u32() as usize
}

/// Returns a number that is above that of every processor.
pub fn cpu_count() -> usize {
    nr_cpu_ids() as usize
}

impl<const N: usize> Drop for PerCpuCounters<N> {
    fn drop(&mut self) {
        // SAFETY: By the type's invariants.
        unsafe { bindings::vtd_helper_free_counts(self.base.as_ptr()) }
    }
}
