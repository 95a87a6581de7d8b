// SPDX-License-Identifier: GPL-2.0

//! Measures the cost of a piece of code: by time stamps, and by marks for a profiler outside of the
//! guest.
//!
//! Under QEMU's `-icount shift=0`, a tick of the time stamp counter is one instruction. So all of
//! this is inline, and adds the same few instructions to each measurement.

use crate::bindings;
use crate::pci::PciDevice;
use core::arch::asm;

/// Reads the time stamp counter. The compiler moves no memory access across it.
#[inline(always)]
fn now() -> u64 {
    let ticks;
    // SAFETY: Only reads the counter. Without `nomem` it is a compiler barrier. The halves are
    // combined in the assembly, so that this costs the same everywhere.
    unsafe {
        asm!("rdtsc", "shl rdx, 32", "or rax, rdx", out("rax") ticks, out("rdx") _,
            options(nostack))
    };
    ticks
}

/// Calls `f` while this processor takes no interrupts. `f` must not sleep.
#[inline(always)]
fn with_irqs_off<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: Has no preconditions; restored below.
    let flags = unsafe { bindings::vtd_helper_local_irq_save() };
    let result = f();
    // SAFETY: The flags of the call above, on the same processor, because interrupts are off.
    unsafe { bindings::vtd_helper_local_irq_restore(flags) };
    result
}

/// Returns the ticks that `f` takes, and its result. Interrupts and other threads may run in
/// between.
#[inline(always)]
pub fn ticks_with_irqs_on<R>(f: impl FnOnce() -> R) -> (u64, R) {
    let start = now();
    let result = f();
    let end = now();
    (end.wrapping_sub(start), result)
}

/// Returns the ticks that `f` takes with interrupts off, and its result. `f` must not sleep.
#[inline(always)]
pub fn ticks<R>(f: impl FnOnce() -> R) -> (u64, R) {
    with_irqs_off(|| ticks_with_irqs_on(f))
}

/// The number of instructions that [`calibrate`] executes.
pub const CALIBRATION_TICKS: u64 = 2001;

/// Runs a loop with a known number of instructions: 1 before the loop, 2 in each of 1000 rounds.
#[inline(always)]
pub fn calibrate() {
    // SAFETY: Touches one register and the flags.
    unsafe {
        asm!("mov {n}, 1000", "2:", "dec {n}", "jnz 2b", n = out(reg) _, options(nomem, nostack))
    };
}

/// The marks of a window, for a profiler that reads the instruction stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The window begins.
    Open = 0x56544401,
    /// The window ends.
    Close = 0x56544402,
}

/// Executes a no-op with the mark's number in its displacement.
#[inline(always)]
pub fn mark(mark: Mark) {
    macro_rules! no_op {
        ($mark:expr) => {
            // SAFETY: Changes nothing. Without `nomem` it is a compiler barrier.
            unsafe {
                asm!(".byte 0x0f, 0x1f, 0x84, 0x00", ".long {}", const $mark as u32,
                    options(nostack, preserves_flags))
            }
        };
    }
    match mark {
        Mark::Open => no_op!(Mark::Open),
        Mark::Close => no_op!(Mark::Close),
    }
}

/// Calls `f` in a window; interrupts and other threads may run in between.
#[inline(always)]
pub fn window_with_irqs_on<R>(f: impl FnOnce() -> R) -> R {
    mark(Mark::Open);
    let result = f();
    mark(Mark::Close);
    result
}

/// Calls `f` in a window with interrupts off. `f` must not sleep.
#[inline(always)]
pub fn window<R>(f: impl FnOnce() -> R) -> R {
    with_irqs_off(|| window_with_irqs_on(f))
}

/// Returns the number of pages that IOMMU drivers have allocated for their tables.
#[inline]
pub fn pages_of_tables() -> i64 {
    // SAFETY: Has no preconditions.
    unsafe { bindings::vtd_helper_iommu_pages() as i64 }
}

/// A device whose accesses are in QEMU's trace; used to write numbers into the trace.
///
/// # Invariants
///
/// The device is an iommu-testdev of QEMU.
pub struct TraceMarker(PciDevice);

impl TraceMarker {
    const VENDOR: u32 = 0x1b36;
    const DEVICE: u32 = 0x0005;
    /// A word of the configuration space that is not implemented.
    const WORD: i32 = 0xf0;

    /// Finds the first iommu-testdev.
    ///
    /// # Context
    ///
    /// Process context.
    #[inline]
    pub fn find() -> Option<Self> {
        // INVARIANT: It has the numbers of one.
        PciDevice::with_ids(Self::VENDOR, Self::DEVICE)
            .next()
            .map(TraceMarker)
    }

    /// Writes `number` into the trace.
    #[inline]
    pub fn set(&self, number: u32) {
        // SAFETY: Valid device; by the type's invariants the word is not implemented, so that the
        // write changes nothing.
        unsafe { bindings::pci_write_config_dword(self.0.as_raw(), Self::WORD, number) };
    }
}
