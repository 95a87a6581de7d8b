// SPDX-License-Identifier: GPL-2.0

//! What a requester may reach: context entries, in legacy mode, and the domain-ids in them.

mod claims;
mod domain_ids;
mod fault_recording;
mod install;
mod legacy;
mod taken_id;

pub(crate) use domain_ids::{Asker, DomainIds};
pub(crate) use install::{Claimed, Translation, TranslationState};
pub(crate) use legacy::Root;
pub(crate) use taken_id::TakenId;
