// SPDX-License-Identifier: GPL-2.0

//! Describes the status registers in words.

use crate::spec::status::{Fsts, Gsts};
use core::fmt;

impl Gsts {
    /// Returns the states that show that other software uses the unit, in words.
    pub fn in_use(self) -> impl Iterator<Item = &'static str> {
        [
            (self.translation_enabled(), "DMA translation is on"),
            (self.queue_enabled(), "its invalidation queue is on"),
            (
                self.interrupt_remapping_enabled(),
                "interrupt remapping is on",
            ),
        ]
        .into_iter()
        .filter_map(|(set, words)| set.then_some(words))
    }
}

impl fmt::Display for Gsts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let switch = |on: bool| if on { "on" } else { "off" };
        write!(
            f,
            "{:#010x}: translation {}, queue {}, interrupt remapping {}, root table {}",
            self.raw(),
            switch(self.translation_enabled()),
            switch(self.queue_enabled()),
            switch(self.interrupt_remapping_enabled()),
            if self.root_table_set() {
                "set"
            } else {
                "not set"
            },
        )
    }
}

impl Fsts {
    /// Returns the errors that are set, in words.
    pub fn errors(self) -> impl Iterator<Item = &'static str> {
        [
            (Self::OVERFLOW, "fault records were lost (PFO)"),
            (Self::QUEUE_ERROR, "invalid descriptor in the queue (IQE)"),
            (
                Self::COMPLETION_ERROR,
                "wrong invalidation completion (ICE)",
            ),
            (
                Self::TIME_OUT,
                "a device did not answer an invalidation (ITE)",
            ),
        ]
        .into_iter()
        .filter_map(move |(bit, words)| self.contains(bit).then_some(words))
    }
}
