// SPDX-License-Identifier: GPL-2.0

//! Log messages about faults of unknown requesters, which are no device of this driver: devices
//! that were not enumerated, and functions that use a requester ID other than their own.
//!
//! Their cost is bounded for all of them together, because one device can use every possible ID:
//! lines of the log, the time to read fault records, and one page for a context table per bus
//! ([`vtd_core::fault_limit::UnknownLimits`]).

use super::fault_words::RefusalText;
use crate::machine::Machine;
use crate::unit::Unit;
use kernel::prelude::*;
use kernel::sync::{new_mutex, Mutex};
use kernel_ext::{clock, log_err, log_warn};
use vtd_core::fault_limit::{
    UnknownLimits, UnknownSlot, UnknownVerdict, MAX_UNKNOWN_REQUESTERS, WINDOW_S,
};
use vtd_core::spec::fault::FaultRecord;

/// The unknown requesters of one unit.
#[pin_data]
pub(super) struct UnknownRequesters {
    #[pin]
    limits: Mutex<UnknownLimits<KBox<[Option<UnknownSlot>; MAX_UNKNOWN_REQUESTERS]>>>,
}

impl UnknownRequesters {
    /// Creates an empty record of unknown requesters.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(super) fn new() -> Result<impl PinInit<Self>> {
        // In place: the stack has no room for them.
        let none = pin_init::init_array_from_fn(|_| Ok::<_, Error>(None));
        let limits = UnknownLimits::new(KBox::init(none, GFP_KERNEL)?);
        Ok(pin_init!(Self {
            limits <- new_mutex!(limits, "vtd unknown requesters"),
        }))
    }

    /// Reports one fault. Called in the interrupt's thread.
    pub(super) fn report(&self, machine: &Machine, unit: &Unit, record: &FaultRecord) {
        let verdict = self.limits.lock().count(record.source, clock::now_ns());
        match verdict {
            UnknownVerdict::Report { suppressed, last } => {
                log_fault(unit, record, suppressed, last)
            }
            UnknownVerdict::Suppress => {}
            UnknownVerdict::Silence {
                faults,
                ms,
                together,
                report,
            } => {
                let done = unit.disable_fault_processing(&[record.source]);
                let (segment, source) = (unit.segment(), record.source);
                if report && together {
                    log_warn!(
                        "{unit}: fault: unknown requesters raised {faults} faults within {ms} ms; \
                         requests of {segment}:{source}, and of others that continue, are refused \
                         as before{}",
                        silence_result(&done)
                    );
                } else if report {
                    log_warn!(
                        "{unit}: fault: requester {segment}:{source} raised {faults} faults within \
                         {ms} ms; its requests are refused as before{}",
                        silence_result(&done)
                    );
                }
            }
            UnknownVerdict::SilenceBus { report } => silence_bus(machine, unit, record, report),
        }
    }
}

fn log_fault(unit: &Unit, record: &FaultRecord, suppressed: u64, last: bool) {
    if suppressed > 0 {
        log_warn!("{unit}: fault: {suppressed} more faults of unknown requesters were not logged");
    }
    log_err!(
        "{unit}: fault: requester {}:{}, which is not a device of this driver, {}",
        unit.segment(),
        record.source,
        RefusalText(record)
    );
    if last {
        log_warn!(
            "{unit}: fault: further faults of unknown requesters are counted but not logged for up \
             to {WINDOW_S} s"
        );
    }
}

fn silence_result(done: &Result) -> &'static str {
    match done {
        Ok(()) => ", but no longer recorded",
        Err(_) => ", and the unit cannot be made to stop recording them",
    }
}

/// Stops the recording of faults of all unknown requesters of a bus, because a device seems to
/// sweep requester IDs.
fn silence_bus(machine: &Machine, unit: &Unit, record: &FaultRecord, report: bool) {
    let (segment, bus) = (unit.segment(), record.source.bus());
    let done = unit.disable_unknown_fault_processing(bus, &machine.requesters_on_bus(segment, bus));
    if report {
        log_warn!(
            "{unit}: fault: more than {MAX_UNKNOWN_REQUESTERS} unknown requesters raise faults at the same time, \
             as if a device swept requester IDs: requests of unknown requesters on bus \
             {segment}:{bus:02x}, and on each further bus that continues, are refused as before{}",
            silence_result(&done)
        );
    }
}
