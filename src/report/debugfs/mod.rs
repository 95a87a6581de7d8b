// SPDX-License-Identifier: GPL-2.0

//! The files in debugfs and their contents.

mod context_entries;
mod device_tlbs;
mod domain_translation;
mod domains;
mod files;
mod groups;
mod interrupts;
mod queue;
mod registers;
mod statistics;
pub(super) mod users;
mod view;
mod walk;

pub(crate) use domain_translation::TranslationFiles;
pub(crate) use files::Debugfs;
