// SPDX-License-Identifier: GPL-2.0

//! The cost of operations as the numbers of devices and domains grow: a model of eight units with
//! 4096 devices each, all in one domain, and a unit with tens of thousands of domains. Nothing runs
//! concurrently here; `steps` counts the steps.

use crate::attachments::{attach, detach, domains, new_domain, Domain};
use crate::concurrent::{attachments, domain_ids};
use crate::flush_list::Machine;
use crate::ids::{ids, push};
use crate::lockless::flush_list::{FlushList, PublishedTag};
use crate::shim::prelude::{Error, KVec, Result};
use crate::shim::steps;
use crate::shim::unit::{AllocatedDomainId, Unit};
use loom::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use vtd_core::invalidation::CacheTag;
use vtd_core::spec::address::DomainId;
use vtd_core::spec::level::Stage;

const UNITS: u16 = 8;
const DEVICES: usize = 4096;
const DOMAINS: usize = 50_000;

mistakes! { attachments_one_by_one domain_ids_from_the_start }

domains! { attachments_one_by_one }

/// Compares the steps of an unmap, an attach and a detach at each doubling of the devices of each
/// unit.
macro_rules! many_devices {
    ($module:ident) => {
        let mut builder = loom::model::Builder::new();
        builder.max_branches = 10_000_000;
        builder.check(|| {
            let table = Arc::new(AtomicU64::new(0));
            let unit = |id| Arc::new(Unit::new(id, table.clone()));
            let all: Vec<_> = (2..2 + UNITS).map(unit).collect();
            let domain = new_domain!($module, all);
            let (mut joined, mut first) = (0, None);
            for devices in (0..=DEVICES.ilog2()).map(|power| 1 << power) {
                while joined < devices {
                    for unit in &all {
                        attach!($module, domain, unit, None).unwrap();
                    }
                    joined += 1;
                }
                let range = crate::attachments::page();
                let last = all.last().unwrap();
                let took = (
                    steps::of(|| domain.flush_list.invalidate_range(range)),
                    steps::of(|| assert!(attach!($module, domain, last, None).is_ok())),
                    steps::of(|| drop(detach!($module, domain, last))),
                );
                let first = *first.get_or_insert(took);
                assert_eq!(took, first, "more steps with {devices} devices");
            }
        });
    };
}

/// Compares the steps of allocating and freeing a domain-id at each doubling of the domains.
macro_rules! many_domains {
    ($module:ident) => {
        let mut given = ids!($module, 1 << 16);
        let (mut used, mut first) = (0, None);
        // Avoids the begin of a bitmap word, which takes a few more steps once in 64.
        for domains in (0..=DOMAINS.ilog2()).map(|power| (1 << power) + 5) {
            while used < domains {
                given.allocate(false, push).unwrap().unwrap();
                used += 1;
            }
            let took = steps::of(|| {
                let id = given.allocate(false, push).unwrap().unwrap();
                given.free(id);
            });
            let first = *first.get_or_insert(took);
            assert_eq!(took, first, "more steps with {domains} domains");
        }
    };
}

laws! {
    an_unmap_and_an_attach_take_no_more_steps_as_devices_grow: attachments, many_devices;
    a_list_of_devices_is_noticed: attachments_one_by_one, "more steps with";
}

laws! {
    a_domain_id_takes_no_more_steps_as_domains_grow: domain_ids, many_domains;
    a_search_from_the_start_is_noticed: domain_ids_from_the_start, "more steps with";
}
