// SPDX-License-Identifier: GPL-2.0

//! All paging domains, for those who want to look at them.
//!
//! A domain is in the list from when it is made until the core frees it. It counts what is mapped
//! in it by itself; what a domain that is gone has counted is kept for the unit it was made for.

use crate::unit::{MapCounts, Unit};
use kernel::prelude::*;
use kernel::sync::{new_mutex, Arc, Mutex};

/// A domain, as the list knows it.
pub(crate) trait Listed {
    /// Its number, which no other domain has or had.
    fn number(&self) -> u64;

    /// The unit for which it was made.
    fn primary_unit(&self) -> &Arc<Unit>;

    /// What was mapped and unmapped in it.
    fn mapped(&self) -> MapCounts;
}

/// The list.
#[pin_data]
pub(crate) struct Domains<D> {
    #[pin]
    lists: Mutex<DomainLists<D>>,
}

struct DomainLists<D> {
    /// By number, ascending.
    /// A user can make many, so that no contiguous memory is asked for.
    live: KVVec<Arc<D>>,
    /// What the domains that are gone had counted, for each unit that has had one.
    freed: KVec<(Arc<Unit>, MapCounts)>,
    /// The number of the latest domain.
    last: u64,
}

impl<D: Listed> DomainLists<D> {
    /// Where the first domain is whose number is `number` or above.
    fn index_of(&self, number: u64) -> usize {
        self.live.partition_point(|one| one.number() < number)
    }
}

impl<D: Listed> Domains<D> {
    /// None yet. [`ENOMEM`].
    pub(crate) fn new() -> Result<Arc<Self>> {
        let lists = DomainLists {
            live: KVVec::new(),
            freed: KVec::new(),
            last: 0,
        };
        Arc::pin_init(
            pin_init!(Self {
                lists <- new_mutex!(lists, "vtd domains"),
            }),
            GFP_KERNEL,
        )
    }

    /// A number for a new domain, that none has had before. May sleep.
    pub(super) fn alloc_number(&self) -> u64 {
        let mut lists = self.lists.lock();
        lists.last += 1;
        lists.last
    }

    /// Takes a domain in. [`ENOMEM`]. May sleep.
    pub(super) fn add(&self, domain: &Arc<D>) -> Result {
        let mut lists = self.lists.lock();
        let primary_unit = domain.primary_unit();
        // Room first, so that leaving cannot fail.
        if !lists
            .freed
            .iter()
            .any(|(unit, _)| Arc::ptr_eq(unit, primary_unit))
        {
            lists
                .freed
                .push((primary_unit.clone(), MapCounts::default()), GFP_KERNEL)?;
        }
        let at = lists.index_of(domain.number());
        lists.live.reserve(1, GFP_KERNEL)?;
        let _ = lists.live.insert_within_capacity(at, domain.clone());
        Ok(())
    }

    /// Takes a domain out that the core frees. May sleep.
    pub(super) fn remove(&self, domain: &Arc<D>) {
        let mut lists = self.lists.lock();
        let at = lists.index_of(domain.number());
        let is_there = |one: &Arc<D>| Arc::ptr_eq(one, domain);
        let freed = if lists.live.get(at).is_some_and(is_there) {
            lists.live.remove(at).ok()
        } else {
            None
        };
        let Some(domain) = &freed else {
            return;
        };
        let sums = lists
            .freed
            .iter_mut()
            .find(|(unit, _)| Arc::ptr_eq(unit, domain.primary_unit()));
        if let Some((_, mapped)) = sums {
            mapped.add(domain.mapped());
        }
        drop(lists);
    }

    /// The first domain whose number is `number` or above. May sleep.
    pub(crate) fn first_from(&self, number: u64) -> Option<Arc<D>> {
        let lists = self.lists.lock();
        lists.live.get(lists.index_of(number)).cloned()
    }

    /// What was mapped and unmapped in all domains made for `unit`, those that are gone included.
    /// May sleep.
    pub(crate) fn mapped_for(&self, unit: &Unit) -> MapCounts {
        let lists = self.lists.lock();
        let mut sum = MapCounts::default();
        for (_, freed) in lists
            .freed
            .iter()
            .filter(|(of, _)| core::ptr::eq(&**of, unit))
        {
            sum.add(*freed);
        }
        for domain in lists.live.iter() {
            if core::ptr::eq(&**domain.primary_unit(), unit) {
                sum.add(domain.mapped());
            }
        }
        sum
    }
}
