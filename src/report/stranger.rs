// SPDX-License-Identifier: GPL-2.0

//! Faults of requesters that are no device of this driver: devices that nobody has enumerated,
//! functions that speak with an ID of their own invention.

use super::fault::What;
use crate::device::{RateLimit, Verdict};
use crate::unit::Unit;
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel_ext::{log_err, log_warn};
use vtd_core::spec::address::{Segment, SourceId};
use vtd_core::spec::fault::FaultRecord;

/// Strangers that are told apart; all others share one limit.
const MOST: usize = 64;

struct Stranger {
    segment: Segment,
    source: SourceId,
    reports: Arc<RateLimit>,
}

/// The strangers so far.
#[pin_data]
pub(super) struct Strangers {
    others: RateLimit,
    #[pin]
    known: Mutex<KVec<Stranger>>,
}

impl Strangers {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            others: RateLimit::new(),
            known <- new_mutex!(KVec::new(), "vtd strangers"),
        })
    }

    /// The limit of one stranger; [`None`] where there are too many.
    fn limit_of(&self, segment: Segment, source: SourceId) -> Option<Arc<RateLimit>> {
        let mut known = self.known.lock();
        let found = known
            .iter()
            .find(|one| one.segment == segment && one.source == source);
        if let Some(stranger) = found {
            return Some(stranger.reports.clone());
        }
        if known.len() >= MOST {
            return None;
        }
        let reports = Arc::new(RateLimit::new(), GFP_KERNEL).ok()?;
        let stranger = Stranger {
            segment,
            source,
            reports: reports.clone(),
        };
        known.push(stranger, GFP_KERNEL).ok()?;
        Some(reports)
    }

    /// Reports one fault. In the interrupt's thread.
    pub(super) fn report(&self, unit: &Unit, record: &FaultRecord) {
        let (segment, source) = (unit.segment(), record.source);
        let own = self.limit_of(segment, source);
        let limit = own.as_deref().unwrap_or(&self.others);
        match limit.ask() {
            Verdict::Report { held_back, .. } => {
                if held_back > 0 {
                    log_warn!(
                        "{unit}: fault: {held_back} more of {segment}:{source} were not shown"
                    );
                }
                log_err!(
                    "{unit}: fault: requester {segment}:{source}, which is no device of this \
                     driver, {}",
                    What(record)
                );
            }
            Verdict::HoldBack => {}
            Verdict::Storm { faults, .. } => {
                let done = own.is_some() && unit.silence(&[source]).is_ok();
                log_warn!(
                    "{unit}: fault: requester {segment}:{source} raised {faults} faults within a \
                     few seconds; its requests are refused as before{}",
                    if done { ", but no longer recorded" } else { "" }
                );
            }
        }
    }
}
