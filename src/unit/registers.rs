// SPDX-License-Identifier: GPL-2.0

//! The registers of a unit: typed access, and commands with their completion.

use core::sync::atomic::{AtomicU64, Ordering};
use kernel::prelude::*;
use kernel_ext::acpi::FirmwareAddress;
use kernel_ext::clock::Deadline;
use kernel_ext::lock::IrqSpinLock;
use kernel_ext::mmio;
use vtd_core::spec::capability::{Capability, ExtendedCapability};
use vtd_core::spec::fault::FRCD_F;
use vtd_core::spec::registers::{self, Reg32, Reg64};
use vtd_core::spec::status::{Gcmd, Gsts};

/// How long hardware may take to complete anything. The specification names no limit; hardware that
/// takes longer is broken. Waits are made with interrupts off, so several of them in a row must
/// stay below the kernel's watchdog limits.
pub(crate) const TIME_OUT_MS: u64 = 1_000;

/// The smallest register page. It suffices to read how long the whole register set is.
const FIRST_BYTES: usize = 4096;

/// The mapped registers of one unit.
///
/// # Locks
///
/// `command` serializes writes of GCMD: each is computed from GSTS and takes effect before the
/// next. No lock is taken under it.
#[pin_data]
pub(crate) struct UnitRegisters {
    io: mmio::Registers,
    time_out_ms: AtomicU64,
    #[pin]
    command: IrqSpinLock<()>,
}

impl UnitRegisters {
    /// Claims and maps the registers at `base`. The claim covers what CAP and ECAP say that the set
    /// needs.
    ///
    /// # Errors
    ///
    /// [`ENXIO`]: no unit responds there. Otherwise the error of claiming or mapping the registers.
    pub(crate) fn claim(base: FirmwareAddress, name: &'static CStr) -> Result<mmio::Registers> {
        let first = mmio::Registers::request(base, FIRST_BYTES, name)?;
        let (cap, ecap) = (
            first.read64(registers::CAP.offset()),
            first.read64(registers::ECAP.offset()),
        );
        if cap == u64::MAX || ecap == u64::MAX || first.read32(registers::VER.offset()) == 0 {
            return Err(ENXIO);
        }
        let bytes = registers::register_bytes(
            Capability::from_raw(cap),
            ExtendedCapability::from_raw(ecap),
        );
        let bytes = usize::try_from(bytes)?;
        if bytes <= FIRST_BYTES {
            return Ok(first);
        }
        drop(first);
        mmio::Registers::request(base, bytes, name)
    }

    /// Creates the accessor of registers that [`Self::claim`] has claimed.
    pub(crate) fn new(io: mmio::Registers) -> impl PinInit<Self> {
        pin_init!(Self {
            io,
            time_out_ms: AtomicU64::new(TIME_OUT_MS),
            command <- kernel_ext::new_irq_spinlock!((), c"vtd unit command"),
        })
    }

    /// Returns the physical address of the registers.
    pub(crate) fn start(&self) -> u64 {
        self.io.start()
    }

    /// Reads a register.
    #[inline]
    pub(crate) fn read32(&self, register: Reg32) -> u32 {
        self.io.read32(register.offset())
    }

    /// Reads a register.
    #[inline]
    pub(crate) fn read64(&self, register: Reg64) -> u64 {
        self.io.read64(register.offset())
    }

    /// Writes a register.
    #[inline]
    pub(crate) fn write32(&self, register: Reg32, value: u32) {
        self.io.write32(register.offset(), value)
    }

    /// Writes a register.
    #[inline]
    pub(crate) fn write64(&self, register: Reg64, value: u64) {
        self.io.write64(register.offset(), value)
    }

    /// Returns how long hardware may take to complete anything.
    pub(crate) fn time_out_ms(&self) -> u64 {
        self.time_out_ms.load(Ordering::Relaxed)
    }

    /// Sets how long hardware may take. For tests.
    pub(super) fn set_time_out_ms(&self, ms: u64) {
        self.time_out_ms.store(ms, Ordering::Relaxed)
    }

    /// Reads the global status register (GSTS).
    pub(crate) fn status(&self) -> Gsts {
        Gsts::from_raw(self.read32(registers::GSTS))
    }

    /// Sets (`on`) or clears one command bit and waits until GSTS shows it (VT-d 11.4.4).
    ///
    /// # Errors
    ///
    /// [`ETIMEDOUT`]: GSTS never shows it.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn command(&self, bit: Gcmd, on: bool) -> Result {
        self.command.with(|()| {
            let now = Gcmd::from_status(self.status());
            let new = if on { now.with(bit) } else { now.without(bit) };
            self.write32(registers::GCMD, new.raw());
            self.wait(|| self.status().has_taken_effect(bit) == on)
        })
    }

    /// Sets one command bit that a unit may lack. Returns whether GSTS shows it within `ms`; if not,
    /// the bit is cleared again.
    ///
    /// # Errors
    ///
    /// [`ETIMEDOUT`]: GSTS shows the bit, and does so still after it was cleared.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn try_command(&self, bit: Gcmd, ms: u64) -> Result<bool> {
        let obeyed = self.command.with(|()| {
            let new = Gcmd::from_status(self.status()).with(bit);
            self.write32(registers::GCMD, new.raw());
            Deadline::after_ms(ms).wait_until(|| self.status().has_taken_effect(bit))
        });
        if !obeyed {
            self.command(bit, false)?;
        }
        Ok(obeyed)
    }

    /// Flushes the write buffer of a unit that needs it (`CAP.RWBF`).
    ///
    /// # Errors
    ///
    /// [`ETIMEDOUT`] if the unit does not complete the flush in time.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn flush_write_buffer(&self) -> Result {
        self.command.with(|()| {
            let new = Gcmd::from_status(self.status()).with(Gcmd::FLUSH_WRITE_BUFFER);
            self.write32(registers::GCMD, new.raw());
            self.wait(|| !self.status().write_buffer_flush_pending())
        })
    }

    /// Clears errors and faults recorded before the driver was loaded. An old error would stop the
    /// new queue, and an old fault record would keep new faults from being reported (VT-d 7.3).
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn clear_stale_faults(&self, cap: Capability) {
        for index in 0..cap.fault_record_count() {
            if let Some(at) = registers::fault_record(cap, index) {
                self.write64(at.high, FRCD_F);
            }
        }
        self.write32(registers::FSTS, self.read32(registers::FSTS));
    }

    /// Polls `done` until it returns true.
    ///
    /// # Errors
    ///
    /// [`ETIMEDOUT`] if `done` does not return true in time.
    ///
    /// # Context
    ///
    /// Any context.
    pub(crate) fn wait(&self, done: impl FnMut() -> bool) -> Result {
        if Deadline::after_ms(self.time_out_ms()).wait_until(done) {
            Ok(())
        } else {
            Err(ETIMEDOUT)
        }
    }
}
