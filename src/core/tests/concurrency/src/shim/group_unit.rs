// SPDX-License-Identifier: GPL-2.0

//! A unit that serves one group. It asserts the rule at each install.

use super::prelude::{Result, EIO};
use loom::sync::Mutex;
use std::collections::BTreeMap;
use vtd_core::install::WasInstalled;
use vtd_core::spec::address::{DomainId, PhysAddr, SourceId};
use vtd_core::spec::level::AddressWidth;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Translation {
    Blocked,
    PassThrough,
    SecondStage {
        table: PhysAddr,
        width: AddressWidth,
        id: DomainId,
    },
}

/// The owner of the memory that a requester reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Kernel,
    User(u16),
}

/// The memory that a requester reaches.
pub(crate) type RequesterEntries = Option<Whose>;

/// The first number of a user's domain in the model.
pub(crate) const FIRST_USER: u16 = 16;

fn whose(to: Translation) -> Option<Whose> {
    match to {
        Translation::Blocked => None,
        Translation::SecondStage { id, .. } if id.raw() >= FIRST_USER => {
            Some(Whose::User(id.raw()))
        }
        Translation::PassThrough | Translation::SecondStage { .. } => Some(Whose::Kernel),
    }
}

#[derive(Default)]
struct Entries {
    present: BTreeMap<u16, Whose>,
    failed: bool,
}

#[derive(Default)]
pub(crate) struct Unit(Mutex<Entries>);

impl Unit {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Entries::default()))
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.0.lock().unwrap().failed
    }

    /// Simulates a hardware failure: everything stays blocked.
    pub(crate) fn fail(&self) {
        let mut entries = self.0.lock().unwrap();
        entries.failed = true;
        entries.present.clear();
    }

    pub(crate) fn entries(&self, source: SourceId) -> RequesterEntries {
        self.0.lock().unwrap().present.get(&source.raw()).copied()
    }

    /// Installs an entry for one requester after the other, as the driver does.
    pub(crate) fn install(
        &self,
        sources: &[SourceId],
        before: WasInstalled,
        new: Translation,
    ) -> Result {
        for source in sources {
            let mut entries = self.0.lock().unwrap();
            if entries.failed {
                return whose(new).map_or(Ok(()), |_| Err(EIO));
            }
            let had = match whose(new) {
                Some(whose) => entries.present.insert(source.raw(), whose),
                None => entries.present.remove(&source.raw()),
            };
            assert_eq!(
                before == WasInstalled::Yes,
                had.is_some(),
                "a claim that is not there"
            );
            let mut all = entries.present.values();
            let first = all.next();
            assert!(
                all.all(|one| Some(one) == first),
                "a mixture: {:?}",
                entries.present
            );
        }
        Ok(())
    }
}
