// SPDX-License-Identifier: GPL-2.0

//! Rate limits for faults: which faults are logged, which are only counted, and when hardware must
//! stop recording them.
//!
//! A unit has few fault records, and a record that one requester fills is not available to others.
//! So a requester that continues to fault is silenced: FPD is set in its context entry (VT-d 9.3).
//! An attach does not reset the windows, because a user may attach as often as it likes: a
//! requester that was silenced, attached again and faults within the same window is silenced again
//! at its first fault.

use crate::spec::address::SourceId;
use core::ops::DerefMut;

/// The maximum number of reports for one requester within one window.
pub const BURST: u64 = 10;

/// The number of faults of one requester within one window that are a storm: far above what a
/// faulty driver usually causes, and far below what would take the fault records from other
/// devices.
pub const STORM: u64 = 1000;

/// The length of a window in nanoseconds.
pub const WINDOW_NS: u64 = 5_000_000_000;

/// The length of a window in seconds, for messages.
pub const WINDOW_S: u64 = WINDOW_NS / 1_000_000_000;

/// A window of time. It begins with the first event after the previous window has ended.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    started: Option<u64>,
}

impl Window {
    fn is_open(self, now: u64) -> bool {
        self.started
            .is_some_and(|started| now.saturating_sub(started) <= WINDOW_NS)
    }

    /// Starts a new window at `now` if none is open, and returns whether it did.
    fn advance(&mut self, now: u64) -> bool {
        let new = !self.is_open(now);
        if new {
            self.started = Some(now);
        }
        new
    }

    fn age_ms(self, now: u64) -> u64 {
        now.saturating_sub(self.started.unwrap_or(now)) / 1_000_000
    }
}

/// The action for a fault of a known requester.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultVerdict {
    /// Log the fault.
    Report {
        /// The number of faults that were not logged since the last report.
        suppressed: u64,
        /// Whether this is the last report of the window.
        last: bool,
    },
    /// Only count the fault.
    Suppress,
    /// Make hardware stop recording faults of the requester.
    Silence {
        /// The number of faults in this window.
        faults: u64,
        /// Milliseconds since the window started.
        ms: u64,
        /// Whether to log this: once per window.
        report: bool,
    },
}

/// The rate limit of one requester. All times are nanoseconds of the same clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct FaultLimit {
    window: Window,
    in_window: u64,
    storm_reported: bool,
    announced: Window,
    suppressed: u64,
    total: u64,
}

impl FaultLimit {
    /// Creates the limit of a requester without any fault so far.
    pub const fn new() -> Self {
        const UNSTARTED: Window = Window { started: None };
        Self {
            window: UNSTARTED,
            in_window: 0,
            storm_reported: false,
            announced: UNSTARTED,
            suppressed: 0,
            total: 0,
        }
    }

    /// Counts a fault that hardware recorded, and returns the action for it.
    pub fn count(&mut self, now: u64) -> FaultVerdict {
        if self.window.advance(now) {
            self.in_window = 0;
            self.storm_reported = false;
        }
        self.total = self.total.saturating_add(1);
        self.in_window = self.in_window.saturating_add(1);
        if self.in_window <= BURST {
            return FaultVerdict::Report {
                suppressed: core::mem::take(&mut self.suppressed),
                last: self.in_window == BURST,
            };
        }
        self.suppressed = self.suppressed.saturating_add(1);
        if self.in_window < STORM {
            return FaultVerdict::Suppress;
        }
        FaultVerdict::Silence {
            faults: self.in_window,
            ms: self.window.age_ms(now),
            report: !core::mem::replace(&mut self.storm_reported, true),
        }
    }

    /// Returns whether to log that faults are recorded again: once per window, because a user can
    /// cause it.
    pub fn may_announce(&mut self, now: u64) -> bool {
        self.announced.advance(now)
    }

    /// Returns the total number of faults.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Returns the number of faults that were not reported since the last report.
    pub const fn suppressed(&self) -> u64 {
        self.suppressed
    }
}

/// The number of unknown requesters that have a separate limit.
pub const MAX_UNKNOWN_REQUESTERS: usize = 64;

/// The maximum number of reports for all unknown requesters of a unit together, within one window.
pub const UNKNOWN_BURST: u64 = 20;

/// The number of faults of all unknown requesters of a unit within one window that are a storm.
pub const UNKNOWN_STORM: u64 = 2 * STORM;

/// The maximum number of log lines within one window about silenced unknown requesters.
pub const UNKNOWN_SILENCED: u64 = 4;

/// The action for a fault of an unknown requester.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownVerdict {
    /// Log the fault.
    Report {
        /// The number of faults of all unknown requesters that were not logged since the last
        /// report.
        suppressed: u64,
        /// Whether this is the last report for unknown requesters in this window.
        last: bool,
    },
    /// Only count the fault.
    Suppress,
    /// Make hardware stop recording faults of the requester.
    Silence {
        /// The number of faults in its window, or of all unknown requesters in their window.
        faults: u64,
        /// Milliseconds since that window started.
        ms: u64,
        /// Whether `faults` counts all unknown requesters.
        together: bool,
        /// Whether to log this.
        report: bool,
    },
    /// A device sweeps through requester IDs: make hardware stop recording faults of all unknown
    /// requesters on that bus.
    SilenceBus {
        /// Whether to log this: once per window.
        report: bool,
    },
}

/// An unknown requester that faulted recently.
#[derive(Clone, Copy, Debug)]
pub struct UnknownSlot {
    source: SourceId,
    window: Window,
    seen: u64,
    in_window: u64,
    reported: bool,
}

/// The limits of all unknown requesters of one unit.
///
/// Each of the [`MAX_UNKNOWN_REQUESTERS`] requesters that faulted last has a separate limit. A
/// further requester replaces the one that has not faulted for the longest time. If the window of
/// the replaced one is still open, it counts as displaced. More than [`MAX_UNKNOWN_REQUESTERS`]
/// displaced requesters within a window are a sweep. A sweep lasts until no unknown requester has
/// faulted for the length of a window.
///
/// `S` is the storage of the slots, which are too large for the stack of a kernel thread.
#[derive(Debug)]
pub struct UnknownLimits<S> {
    slots: S,
    window: Window,
    seen: u64,
    in_window: u64,
    reports: u64,
    silenced: u64,
    displaced: usize,
    sweep_reported: bool,
    suppressed: u64,
}

impl<S: DerefMut<Target = [Option<UnknownSlot>; MAX_UNKNOWN_REQUESTERS]>> UnknownLimits<S> {
    /// Creates the limits of a unit without any fault so far; all of `slots` must be [`None`].
    pub const fn new(slots: S) -> Self {
        Self {
            slots,
            window: Window { started: None },
            seen: 0,
            in_window: 0,
            reports: 0,
            silenced: 0,
            displaced: 0,
            sweep_reported: false,
            suppressed: 0,
        }
    }

    /// Counts a fault of `source` that hardware recorded, and returns the action for it.
    pub fn count(&mut self, source: SourceId, now: u64) -> UnknownVerdict {
        if self.window.advance(now) {
            (self.in_window, self.reports, self.silenced) = (0, 0, 0);
            self.sweep_reported = false;
            let is_quiet = now.saturating_sub(self.seen) > WINDOW_NS;
            if is_quiet || !self.is_swept() {
                self.displaced = 0;
            }
        }
        self.seen = now;
        self.in_window = self.in_window.saturating_add(1);
        let (faults, ms) = self.count_requester(source, now);
        if self.is_swept() {
            self.suppress();
            let report = !core::mem::replace(&mut self.sweep_reported, true);
            return UnknownVerdict::SilenceBus { report };
        }
        let together = faults < STORM && self.in_window >= UNKNOWN_STORM;
        if faults >= STORM || together {
            self.suppress();
            let (faults, ms) = match together {
                true => (self.in_window, self.window.age_ms(now)),
                false => (faults, ms),
            };
            return UnknownVerdict::Silence {
                faults,
                ms,
                together,
                report: self.reports_silence(source),
            };
        }
        if faults <= BURST && self.reports < UNKNOWN_BURST {
            self.reports += 1;
            return UnknownVerdict::Report {
                suppressed: core::mem::take(&mut self.suppressed),
                last: self.reports == UNKNOWN_BURST,
            };
        }
        self.suppress();
        UnknownVerdict::Suppress
    }

    fn is_swept(&self) -> bool {
        self.displaced > MAX_UNKNOWN_REQUESTERS
    }

    /// Returns whether to log that a requester was silenced: once in its window, because records of
    /// it may still be read afterwards, and for at most [`UNKNOWN_SILENCED`] requesters per window.
    fn reports_silence(&mut self, source: SourceId) -> bool {
        let most = self.silenced >= UNKNOWN_SILENCED;
        let slot = self.slot_for(source).and_then(Option::as_mut);
        let new = slot.is_some_and(|slot| !core::mem::replace(&mut slot.reported, true));
        self.silenced += u64::from(new && !most);
        new && !most
    }

    fn suppress(&mut self) {
        self.suppressed = self.suppressed.saturating_add(1);
    }

    /// Counts a fault for its requester. Returns the number of faults in its window, and for how
    /// many milliseconds that window has been open.
    fn count_requester(&mut self, source: SourceId, now: u64) -> (u64, u64) {
        let new = UnknownSlot {
            source,
            window: Window::default(),
            seen: now,
            in_window: 0,
            reported: false,
        };
        let Some(slot_option) = self.slot_for(source) else {
            return (0, 0);
        };
        let known = slot_option.filter(|slot| slot.source == source);
        let displaced = known.is_none() && slot_option.is_some_and(|slot| slot.window.is_open(now));
        let slot = slot_option.insert(known.unwrap_or(new));
        if slot.window.advance(now) {
            slot.in_window = 0;
            slot.reported = false;
        }
        slot.seen = now;
        slot.in_window = slot.in_window.saturating_add(1);
        let counted = (slot.in_window, slot.window.age_ms(now));
        self.displaced += usize::from(displaced);
        counted
    }

    /// Returns the slot for a requester: the one it has, else an empty one, else the slot of the
    /// requester that has not faulted for the longest time.
    fn slot_for(&mut self, source: SourceId) -> Option<&mut Option<UnknownSlot>> {
        self.slots.iter_mut().min_by_key(|slot| match slot {
            Some(slot) if slot.source == source => (0, 0),
            None => (1, 0),
            Some(slot) => (2, slot.seen),
        })
    }
}
