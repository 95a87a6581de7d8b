// SPDX-License-Identifier: GPL-2.0

//! The fault event: hardware recorded that it refused a request (VT-d 7.3).

use super::{regs, Unit};
use kernel::sync::Arc;
use kernel_ext::irq;
use vtd_core::spec::fault::{FaultRecord, FRCD_F};
use vtd_core::spec::status::Fsts;

/// Who is told of faults.
pub(crate) trait FaultSink: Send + Sync + 'static {
    /// One request was refused. In the interrupt's thread; may sleep.
    fn refused(&self, unit: &Unit, record: &FaultRecord);
    /// Hardware had no room for further records.
    fn lost(&self, unit: &Unit);
}

/// The source of a unit's fault interrupt.
pub(crate) struct FaultEvent<S: FaultSink> {
    /// The unit.
    pub(crate) unit: Arc<Unit>,
    /// Who is told.
    pub(crate) sink: Arc<S>,
}

/// Records read in one run of the thread, in rounds over all records: a device that never stops
/// faulting must not keep the thread for ever. What is left raises the next event.
const ROUNDS: u32 = 8;

impl<S: FaultSink> irq::Source for FaultEvent<S> {
    fn write_message(&self, address: u64, data: u32) {
        let unit = &self.unit.regs;
        unit.write32(regs::FEDATA, data);
        unit.write32(regs::FEADDR, address as u32);
        unit.write32(regs::FEUADDR, (address >> 32) as u32);
    }

    fn mask(&self, masked: bool) {
        self.unit
            .regs
            .write32(regs::FECTL, if masked { regs::FECTL_IM } else { 0 });
        // A posted write must not let an event slip through.
        self.unit.regs.read32(regs::FECTL);
    }

    fn handle(&self) {
        self.unit.drain_faults(&*self.sink);
    }
}

impl Unit {
    /// Reads and clears the fault records, oldest first. May sleep.
    pub(crate) fn drain_faults(&self, sink: &dyn FaultSink) {
        let count = self.cap.fault_record_count();
        let status = Fsts::from_raw(self.regs.read32(regs::FSTS));
        let mut index = status.first_fault_record();
        for _ in 0..count.saturating_mul(ROUNDS) {
            let Some(at) = regs::fault_record(self.cap, index % count.max(1)) else {
                break;
            };
            let (low, high) = (self.regs.read64(at.low), self.regs.read64(at.high));
            let Some(record) = FaultRecord::decode(low, high) else {
                break;
            };
            // Writing F back clears the record and lets hardware use it again.
            self.regs.write64(at.high, FRCD_F);
            self.stats.faults.add(1);
            sink.refused(self, &record);
            index = (index + 1) % count.max(1);
        }
        if Fsts::from_raw(self.regs.read32(regs::FSTS)).contains(Fsts::OVERFLOW) {
            self.regs.write32(regs::FSTS, Fsts::OVERFLOW.raw());
            self.stats.fault_overflows.add(1);
            sink.lost(self);
        }
    }
}
