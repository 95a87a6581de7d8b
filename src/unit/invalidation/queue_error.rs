// SPDX-License-Identifier: GPL-2.0

//! Why the invalidation queue failed, and the errors that it has reported.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32};
use vtd_core::spec::status::Fsts;

/// Why the queue can no longer be trusted.
#[derive(Clone, Copy)]
pub(crate) enum QueueFailure {
    /// Hardware reported an error (FSTS) at the descriptor `head`.
    Reported {
        /// The fault status register.
        status: Fsts,
        /// Index of the descriptor that hardware would fetch next.
        head: u32,
        /// The first word of that descriptor.
        descriptor: u64,
    },
    /// Nothing was completed for as long as
    /// [`UnitRegisters::time_out_ms`](crate::unit::registers::UnitRegisters::time_out_ms) returns,
    /// or not enough for [`ROUNDS`](vtd_core::progress_timeout::ROUNDS) times as long.
    TimeOut {
        /// Index of the descriptor that hardware would fetch next.
        head: u32,
    },
    /// The queue was aborted because of an error that another submitter has hit.
    Aborted,
}

impl fmt::Display for QueueFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimeOut { head } => {
                write!(f, "its invalidation queue is stuck at descriptor {head}")
            }
            Self::Reported {
                status,
                head,
                descriptor,
            } => {
                write!(
                    f,
                    "its invalidation queue stopped at descriptor {head} ({descriptor:#018x}):"
                )?;
                status.errors().try_for_each(|word| write!(f, " {word}"))
            }
            Self::Aborted => f.write_str("its invalidation queue was abandoned"),
        }
    }
}

/// The errors of one queue.
#[derive(Default)]
pub(super) struct QueueErrors {
    pub(super) aborted: AtomicBool,
    /// How often hardware reported ITE or ICE.
    pub(super) completions: AtomicU32,
    /// Bits of FSTS that the driver sees although hardware does not set them. For tests.
    pub(super) injected_status: AtomicU32,
}
