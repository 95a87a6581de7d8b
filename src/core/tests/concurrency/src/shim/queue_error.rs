// SPDX-License-Identifier: GPL-2.0

//! A queue of a model reports no errors.

#[derive(Debug)]
pub(crate) struct QueueFailure;

#[derive(Default)]
pub(crate) struct QueueErrors;
