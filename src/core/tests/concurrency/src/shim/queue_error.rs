// SPDX-License-Identifier: GPL-2.0

//! The queue error of the model: a queue reports no details.

#[derive(Debug)]
pub(crate) struct QueueFailure;

#[derive(Default)]
pub(crate) struct QueueErrors;

impl core::fmt::Display for QueueFailure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("its queue failed")
    }
}
