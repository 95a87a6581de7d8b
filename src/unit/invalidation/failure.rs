// SPDX-License-Identifier: GPL-2.0

//! Why hardware did not confirm an invalidation.

use super::queue_error::QueueFailure;
use core::fmt;
use vtd_core::concurrent::register_commands::CommandFailure;

/// Why hardware did not confirm an invalidation.
pub(crate) enum InvalidationFailure {
    /// The queue stopped, for this reason.
    Queue(QueueFailure),
    /// The registers of a unit without a queue did not, for this reason.
    Registers(CommandFailure),
}

impl fmt::Display for InvalidationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidationFailure::Queue(failure) => fmt::Display::fmt(failure, f),
            InvalidationFailure::Registers(failure) => fmt::Display::fmt(failure, f),
        }
    }
}
