// SPDX-License-Identifier: GPL-2.0

//! What a requester can reach: context entries and PASID entries, and the domain-ids in them.

mod domain_ids;
mod fault_recording;
mod install;
mod legacy;
mod requester_uses;
mod root;
mod scalable;
mod tables;
mod taken_id;

pub(crate) use domain_ids::{DomainIdOwner, DomainIds};
pub(crate) use install::{Translation, TranslationState};
pub(crate) use root::RootTable;
pub(crate) use taken_id::AllocatedDomainId;

use kernel_ext::pages::Pages;
use vtd_core::install::entry_stores;

/// Writes an entry at word `at` so that hardware never sees a part of it as present, and writes it
/// back from CPU caches unless the unit is `coherent`.
fn write_entry<const WORDS: usize>(pages: &Pages, at: usize, words: [u64; WORDS], coherent: bool) {
    for (word, value) in entry_stores(words) {
        pages.write(at + word, value);
    }
    if !coherent {
        pages.flush(at, WORDS);
    }
}
