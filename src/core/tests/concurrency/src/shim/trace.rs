// SPDX-License-Identifier: GPL-2.0

//! Trace events, of which there are none in the model.

use super::prelude::Error;
use vtd_core::spec::invalidation::Invalidation;

/// The checks that refuse an attach.
#[derive(Clone, Copy)]
pub(crate) enum RefusedBy {
    Neighbour,
    ReservedMemory,
    Owner,
    Tables,
    DomainId,
    Unit,
}

pub(crate) fn trace_descriptor(_: &usize, _: [u64; 2]) {}

pub(crate) fn trace_command(_: usize, _: Invalidation) {}

pub(crate) fn trace_attach<I, F, S>(_: &I, _: F, _: &S) {}

pub(crate) fn trace_refusal<I, A>(_: &I, _: &A, _: RefusedBy) -> impl FnOnce(&Error) {
    |_| ()
}
