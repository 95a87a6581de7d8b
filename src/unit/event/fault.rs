// SPDX-License-Identifier: GPL-2.0

//! The fault event: hardware has recorded that it refused a request (VT-d 7.3).

use crate::unit::fault_injection::HOLD_FAULTS;
use crate::unit::Unit;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::time::{delay::fsleep, Delta};
use kernel_ext::irq;
use vtd_core::spec::fault::{FaultRecord, RecordHalf, FRCD_F};
use vtd_core::spec::registers as regs;
use vtd_core::spec::status::Fsts;

/// Where faults are reported.
pub(crate) trait FaultSink: Send + Sync + 'static {
    /// Reports that one request was refused.
    ///
    /// # Context
    ///
    /// Runs in the interrupt's thread; may sleep.
    fn report_fault(&self, unit: &Unit, record: &FaultRecord);
    /// Reports that hardware had no room for further records.
    ///
    /// # Context
    ///
    /// Runs in the interrupt's thread; may sleep.
    fn report_overflow(&self, unit: &Unit);
}

/// The source of a unit's fault interrupt.
pub(crate) struct FaultEvent<S: FaultSink> {
    /// The unit.
    pub(crate) unit: Arc<Unit>,
    /// Where its faults are reported.
    pub(crate) sink: Arc<S>,
}

/// The number of rounds over all records before the thread pauses. The thread has real-time
/// priority, and a device that never stops faulting must not occupy a CPU for ever.
const ROUNDS: u32 = 64;

/// How long it pauses.
const PAUSE_MS: i64 = 10;

/// The number of pauses for an error of the queue. In total they are longer than failing a unit
/// takes.
const PAUSES: u32 = 1000;

impl<S: FaultSink> irq::InterruptSource for FaultEvent<S> {
    const NAME: &'static CStr = c"vtd-fault";

    fn number(&self) -> u32 {
        self.unit.index as u32
    }

    fn write_msi_msg(&self, address: u64, data: u32) {
        let unit = &self.unit.regs;
        unit.write32(regs::FEDATA, data);
        unit.write32(regs::FEADDR, address as u32);
        unit.write32(regs::FEUADDR, (address >> 32) as u32);
    }

    fn set_masked(&self, masked: bool) {
        self.unit
            .regs
            .write32(regs::FECTL, if masked { regs::FECTL_IM } else { 0 });
        // Flushes the posted write, so that no event slips through.
        self.unit.regs.read32(regs::FECTL);
    }

    fn handle(&self) {
        self.unit.drain_faults(&*self.sink);
    }
}

impl Unit {
    /// Reads, reports and clears the fault records, oldest first, until none is left. Only then
    /// does hardware raise its next event (VT-d 7.3).
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn drain_faults(&self, sink: &dyn FaultSink) {
        let mut pauses_left = PAUSES;
        while self.fault_injection.is_set(HOLD_FAULTS) && pauses_left > 0 {
            pauses_left -= 1;
            fsleep(Delta::from_millis(PAUSE_MS));
        }
        loop {
            let more = (0..ROUNDS).all(|_| self.drain_once(sink));
            if self.fault_status().contains(Fsts::OVERFLOW) {
                self.regs.write32(regs::FSTS, Fsts::OVERFLOW.raw());
                self.stats.fault_overflows.add(1);
                sink.report_overflow(self);
            }
            self.invalidator.acknowledge(&self.regs);
            // While an error of the queue is pending, hardware raises no fault event. The
            // submitters that wait for the queue handle the error.
            let error = self.fault_status().has_queue_fault() && pauses_left > 0;
            if !more && !error {
                return;
            }
            pauses_left -= u32::from(error);
            fsleep(Delta::from_millis(PAUSE_MS));
        }
    }

    /// Reads the fault status. No bit is set for a unit that no longer responds.
    fn fault_status(&self) -> Fsts {
        match self.regs.read32(regs::FSTS) {
            u32::MAX => Fsts::from_raw(0),
            raw => Fsts::from_raw(raw),
        }
    }

    /// Makes one round over all records. Returns whether there may be more.
    fn drain_once(&self, sink: &dyn FaultSink) -> bool {
        let status = self.fault_status();
        if !status.has_fault_record() {
            return false;
        }
        let (count, first) = (self.cap.fault_record_count(), status.first_fault_record());
        let mut found = false;
        for index in (0..count).map(|i| first.wrapping_add(i) % count) {
            found |= self.drain_record(index, sink);
        }
        found
    }

    fn drain_record(&self, index: u32, sink: &dyn FaultSink) -> bool {
        let Some(at) = regs::fault_record(self.cap, index) else {
            return false;
        };
        let record = FaultRecord::read(|half| match half {
            RecordHalf::Low => self.regs.read64(at.low),
            RecordHalf::High => self.regs.read64(at.high),
        });
        let Some(record) = record else {
            return false;
        };
        // Writing F back clears the record, so that hardware can use it again.
        self.regs.write64(at.high, FRCD_F);
        self.stats.faults.add(1);
        sink.report_fault(self, &record);
        true
    }
}
