// SPDX-License-Identifier: GPL-2.0

//! What a requester can reach: context entries (legacy mode), and the domain-ids in them.

mod domain_ids;
mod fault_recording;
mod install;
mod legacy;
mod requester_uses;
mod taken_id;

pub(crate) use domain_ids::{DomainIdOwner, DomainIds};
pub(crate) use install::{Translation, TranslationState};
pub(crate) use legacy::RootTable;
pub(crate) use taken_id::AllocatedDomainId;
