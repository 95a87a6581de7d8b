// SPDX-License-Identifier: GPL-2.0

//! Why hardware did not confirm an invalidation.

use super::queue_error::QueueFailure;
use core::fmt;
use vtd_core::spec::invalidation::Invalidation;

/// Why hardware did not confirm an invalidation.
pub(crate) enum InvalidationFailure {
    /// The queue stopped, for this reason.
    Queue(QueueFailure),
    /// A register command that did not complete.
    Register(&'static str),
    /// A register command that completed without invalidating anything.
    Refused(&'static str),
    /// An invalidation that only a queue can do, on a unit without one.
    NoCommand(Invalidation),
}

impl fmt::Display for InvalidationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidationFailure::Queue(failure) => fmt::Display::fmt(failure, f),
            InvalidationFailure::Register(name) => write!(f, "its {name} register stays busy"),
            InvalidationFailure::Refused(name) => {
                write!(f, "its {name} register refused an invalidation")
            }
            InvalidationFailure::NoCommand(what) => {
                write!(f, "its registers have no command for \"{what}\"")
            }
        }
    }
}
