// SPDX-License-Identifier: GPL-2.0

//! All paging domains, for those who want to look at them.
//!
//! A domain is in the list from when it is made until the core frees it. It counts what is mapped
//! in it by itself; what a domain that is gone has counted is kept for the unit it was made for.

use crate::unit::{Mapped, Unit};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};

/// A domain, as the list knows it.
pub(crate) trait Listed {
    /// Its number, which no other domain has or had.
    fn number(&self) -> u64;

    /// The unit for which it was made.
    fn home(&self) -> &Arc<Unit>;

    /// What was mapped and unmapped in it.
    fn mapped(&self) -> Mapped;
}

/// The list.
#[pin_data]
pub(crate) struct Domains<D> {
    #[pin]
    known: Mutex<Known<D>>,
}

struct Known<D> {
    /// By number, ascending.
    /// A user can make many, so that no contiguous memory is asked for.
    live: KVVec<Arc<D>>,
    /// What the domains that are gone had counted, for each unit that has had one.
    gone: KVec<(Arc<Unit>, Mapped)>,
    /// The number of the latest domain.
    last: u64,
}

impl<D: Listed> Known<D> {
    /// Where the first domain is whose number is `number` or above.
    fn place_of(&self, number: u64) -> usize {
        self.live.partition_point(|one| one.number() < number)
    }
}

impl<D: Listed> Domains<D> {
    /// None yet. [`ENOMEM`].
    pub(crate) fn new() -> Result<Arc<Self>> {
        let known = Known {
            live: KVVec::new(),
            gone: KVec::new(),
            last: 0,
        };
        Arc::pin_init(
            pin_init!(Self {
                known <- new_mutex!(known, "vtd domains"),
            }),
            GFP_KERNEL,
        )
    }

    /// A number for a new domain, that none has had before. May sleep.
    pub(super) fn number(&self) -> u64 {
        let mut known = self.known.lock();
        known.last += 1;
        known.last
    }

    /// Takes a domain in. [`ENOMEM`]. May sleep.
    pub(super) fn add(&self, domain: &Arc<D>) -> Result {
        let mut known = self.known.lock();
        let home = domain.home();
        // Room first, so that leaving cannot fail.
        if !known.gone.iter().any(|(unit, _)| Arc::ptr_eq(unit, home)) {
            known
                .gone
                .push((home.clone(), Mapped::default()), GFP_KERNEL)?;
        }
        let at = known.place_of(domain.number());
        known.live.reserve(1, GFP_KERNEL)?;
        let _ = known.live.insert_within_capacity(at, domain.clone());
        Ok(())
    }

    /// Takes a domain out that the core frees. May sleep.
    pub(super) fn remove(&self, domain: &Arc<D>) {
        let mut known = self.known.lock();
        let at = known.place_of(domain.number());
        let is_there = |one: &Arc<D>| Arc::ptr_eq(one, domain);
        let gone = if known.live.get(at).is_some_and(is_there) {
            known.live.remove(at).ok()
        } else {
            None
        };
        let Some(domain) = &gone else {
            return;
        };
        let sums = known
            .gone
            .iter_mut()
            .find(|(unit, _)| Arc::ptr_eq(unit, domain.home()));
        if let Some((_, mapped)) = sums {
            mapped.add(domain.mapped());
        }
        drop(known);
    }

    /// The first domain whose number is `number` or above. May sleep.
    pub(crate) fn from(&self, number: u64) -> Option<Arc<D>> {
        let known = self.known.lock();
        known.live.get(known.place_of(number)).cloned()
    }

    /// What was mapped and unmapped in all domains made for `unit`, those that are gone included.
    /// May sleep.
    pub(crate) fn mapped_for(&self, unit: &Unit) -> Mapped {
        let known = self.known.lock();
        let mut sum = Mapped::default();
        for (_, gone) in known
            .gone
            .iter()
            .filter(|(of, _)| core::ptr::eq(&**of, unit))
        {
            sum.add(*gone);
        }
        for domain in known.live.iter() {
            if core::ptr::eq(&**domain.home(), unit) {
                sum.add(domain.mapped());
            }
        }
        sum
    }
}
