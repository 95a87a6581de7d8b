// SPDX-License-Identifier: GPL-2.0

//! Which faults are reported in the log, which are only counted, and when hardware is to stop
//! recording them.
//!
//! A unit has few fault records, and each that one requester fills is lost to the others, so one
//! that goes on faulting is silenced: its context entry gets FPD (VT-d 9.3). Windows are not
//! reset by an attach, which a user may repeat as often as he likes: a requester that was silenced,
//! attached again and faults within the same window is silenced again at its first fault.

use crate::spec::address::SourceId;
use core::ops::DerefMut;

/// Reports of one requester within one window.
pub const BURST: u64 = 10;

/// Faults of one requester within one window that make a storm: far above what a driver that is
/// merely wrong causes, far below what costs other devices their records.
pub const STORM: u64 = 1000;

/// Length of a window.
pub const WINDOW_NS: u64 = 5_000_000_000;

/// The same in seconds, for messages.
pub const WINDOW_S: u64 = WINDOW_NS / 1_000_000_000;

/// A window of time: it begins with the first event after the one before has ended.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    started: Option<u64>,
}

impl Window {
    fn is_open(self, now: u64) -> bool {
        self.started
            .is_some_and(|started| now.saturating_sub(started) <= WINDOW_NS)
    }

    /// Whether a new window begins `now`.
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

/// What to do about a fault of a known requester.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultVerdict {
    /// Write a line.
    Report {
        /// So many were held back before.
        suppressed: u64,
        /// It is the last one of this window.
        last: bool,
    },
    /// Count it only.
    Suppress,
    /// Have hardware record no more of the requester.
    Silence {
        /// Faults in this window.
        faults: u64,
        /// Milliseconds since it started.
        ms: u64,
        /// Whether to write a line: once in a window.
        report: bool,
    },
}

/// The limit of one requester. All times are nanoseconds of one clock.
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
    /// No fault so far.
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

    /// Counts a fault that hardware recorded.
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

    /// Whether a line may say that faults are recorded again: once in a window, as a user can
    /// cause it.
    pub fn may_announce(&mut self, now: u64) -> bool {
        self.announced.advance(now)
    }

    /// Faults in all.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Faults that were not reported since the last one that was.
    pub const fn suppressed(&self) -> u64 {
        self.suppressed
    }
}

/// How many unknown requesters have a limit each.
pub const MAX_UNKNOWN_REQUESTERS: usize = 64;

/// Reports of all unknown requesters of a unit together, within one window.
pub const UNKNOWN_BURST: u64 = 20;

/// Faults of all unknown requesters of a unit within one window that make a storm.
pub const UNKNOWN_STORM: u64 = 2 * STORM;

/// Lines within one window that say that an unknown requester was silenced.
pub const UNKNOWN_SILENCED: u64 = 4;

/// What to do about a fault of an unknown requester.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownVerdict {
    /// Write a line.
    Report {
        /// So many of all unknown requesters were held back before.
        suppressed: u64,
        /// It is the last one of all unknown requesters in this window.
        last: bool,
    },
    /// Count it only.
    Suppress,
    /// Have hardware record no more of the requester.
    Silence {
        /// Its faults in its window, or those of all unknown requesters.
        faults: u64,
        /// Milliseconds since that window started.
        ms: u64,
        /// Whether they are of all unknown requesters.
        together: bool,
        /// Whether to write a line.
        report: bool,
    },
    /// Requester IDs are swept: have hardware record no more of any unknown requester of its bus.
    SilenceBus {
        /// Whether to write a line: once in a window.
        report: bool,
    },
}

/// An unknown requester that faulted lately.
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
/// Each of the [`MAX_UNKNOWN_REQUESTERS`] requesters that faulted last has a limit of its own; one more takes the
/// place of the one that has been quiet for longest. If that had faulted within its window, it
/// was displaced. More than [`MAX_UNKNOWN_REQUESTERS`] of them within a window are a sweep, which goes on until no
/// unknown requester has faulted for the length of a window.
///
/// `S` is where they are kept: too much for the stack of a kernel's thread.
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
    /// No fault so far; `slots` are [`None`].
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

    /// Counts a fault of `source` that hardware recorded.
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

    /// Whether a line is due that a requester was silenced: once in its window, as some records of it
    /// may still be read, and not for too many of them.
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

    /// Counts a fault for its requester: how many in its window, and for how many milliseconds
    /// that has been open.
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

    /// The place of a requester: its own, else an empty one, else that of the one which has been
    /// quiet for longest.
    fn slot_for(&mut self, source: SourceId) -> Option<&mut Option<UnknownSlot>> {
        self.slots.iter_mut().min_by_key(|slot| match slot {
            Some(slot) if slot.source == source => (0, 0),
            None => (1, 0),
            Some(slot) => (2, slot.seen),
        })
    }
}
