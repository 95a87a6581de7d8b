// SPDX-License-Identifier: GPL-2.0

//! Random scenarios with two domains, four devices and two units, and the checks after each step.

use crate::caches_attach::Target;
use crate::caches_bugs::Bug;
use crate::caches_domain::{Domain, Extent};
use crate::caches_driver::{Device, Driver};
use crate::caches_hardware::{Counts, Kind, Leaf};
use proptest::prelude::*;
use std::collections::BTreeSet;
use vtd_core::spec::address::{DomainId, Iova};
use vtd_core::spec::capability::Capability;
use vtd_core::spec::registers::TranslationTableMode;
use vtd_core::spec::scope::PageBlock;

const PAGE: u64 = 0x1000;
const MEGA: u64 = 0x20_0000;
const GIGA: u64 = 0x4000_0000;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Map {
        domain: usize,
        what: Extent,
        tables: i64,
    },
    /// Unmaps the n-th mapping: all of it, a part, or with the one after it.
    Unmap {
        domain: usize,
        nth: usize,
        how: u8,
        lazily: bool,
    },
    /// Flushes a domain. The n-th mapping is unmapped before that ends, if it is there.
    FlushAll {
        domain: usize,
        nth: usize,
    },
    Attach {
        device: usize,
        target: Target,
    },
    DisableFaultProcessing {
        device: usize,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    units: [Kind; 2],
    operations: Vec<Operation>,
}

/// The result of a scenario.
pub(crate) struct Outcome {
    pub(crate) end: Result<(), String>,
    pub(crate) bug_was_made: bool,
}

fn capability() -> impl Strategy<Value = Capability> + Clone {
    let flags = (prop::bool::weighted(0.8), any::<bool>(), any::<bool>());
    let mask = prop::sample::select(vec![0u64, 9, 18, 35]);
    (flags, mask).prop_map(|((selective, caching, buffer), mask)| {
        Capability::from_raw(
            u64::from(selective) << 39
                | u64::from(caching) << 7
                | u64::from(buffer) << 4
                | mask << 48,
        )
    })
}

/// Few addresses, so that mappings overlap; pages of all sizes; ranges that fill a table.
fn extent() -> impl Strategy<Value = Extent> {
    let place = prop::sample::select(vec![0, MEGA, GIGA - MEGA, GIGA, GIGA + MEGA, 2 * GIGA]);
    let part = prop_oneof![
        4 => (0u64..4, 1u64..9).prop_map(|(at, pages)| (at * PAGE, pages * PAGE, PAGE)),
        2 => (505u64..512, 1u64..12).prop_map(|(at, pages)| (at * PAGE, pages * PAGE, PAGE)),
        3 => Just((0, MEGA, PAGE)),
        3 => (1u64..3).prop_map(|count| (0, count * MEGA, 0)),
        1 => Just((0, GIGA, 0)),
    ];
    (place, part, 1u64..4, 0u64..4).prop_map(|(place, (at, len, shift), rights, region)| {
        // 1 GiB only where it is one entry.
        let iova = if len == GIGA {
            place & !(GIGA - 1)
        } else {
            place + at
        };
        let phys = region * (GIGA << 3) + iova + shift;
        Extent {
            iova,
            len,
            phys,
            rights,
        }
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let domain = 0usize..2;
    let target = prop_oneof![
        2 => Just(Target::Blocked),
        1 => Just(Target::Identity),
        6 => (0usize..2).prop_map(Target::Domain),
    ];
    let tables = prop_oneof![5 => Just(i64::MAX), 1 => 0i64..3];
    prop_oneof![
        6 => (domain.clone(), extent(), tables)
            .prop_map(|(domain, what, tables)| Operation::Map { domain, what, tables }),
        5 => (domain.clone(), 0usize..64, 0u8..4, prop::bool::weighted(0.2))
            .prop_map(|(domain, nth, how, lazily)| Operation::Unmap { domain, nth, how, lazily }),
        1 => (domain, 0usize..12).prop_map(|(domain, nth)| Operation::FlushAll { domain, nth }),
        4 => (0usize..4, target).prop_map(|(device, target)| Operation::Attach { device, target }),
        1 => (0usize..4).prop_map(|device| Operation::DisableFaultProcessing { device }),
    ]
}

pub(crate) fn scenario() -> impl Strategy<Value = Scenario> {
    let operations = prop::collection::vec(operation(), 4..28);
    let mode = prop::sample::select(vec![
        TranslationTableMode::Legacy,
        TranslationTableMode::Scalable,
    ]);
    let unit = (capability(), mode);
    ([unit.clone(), unit], operations)
        .prop_map(|(units, operations)| Scenario { units, operations })
}

/// Runs a scenario on a driver with a bug, up to the first problem.
pub(crate) fn run(scenario: &Scenario, bug: Bug) -> Outcome {
    let mut driver = Driver::new(scenario.units, bug);
    let end = run_operations(&mut driver, &scenario.operations);
    let bug_was_made = driver.hw.bug_was_made.get();
    Outcome { end, bug_was_made }
}

fn run_operations(driver: &mut Driver, operations: &[Operation]) -> Result<(), String> {
    for (number, &operation) in operations.iter().enumerate() {
        let place = |problem: String| format!("{problem} (operation {number}: {operation:?})");
        for unit in &driver.hw.units {
            unit.borrow_mut().counts = Counts::default();
        }
        let vain = perform(driver, operation).map_err(place)?;
        check_invariants(driver).map_err(place)?;
        let did: u32 = sum_counts(driver, |counts| counts.vain);
        if did > vain {
            return Err(place(format!(
                "{did} useless invalidations, more than {vain}"
            )));
        }
    }
    driver.end();
    driver.hw.problem().map_or(Ok(()), Err)
}

fn sum_counts(driver: &Driver, what: impl Fn(&Counts) -> u32) -> u32 {
    let units = driver.hw.units.iter();
    units.map(|unit| what(&unit.borrow().counts)).sum()
}

/// Performs the operation. Returns how many invalidations may remove nothing, because they are for
/// entries that hardware may or may not have cached.
fn perform(driver: &mut Driver, operation: Operation) -> Result<u32, String> {
    match operation {
        Operation::Map {
            domain,
            what,
            tables,
        } => {
            // An address whose flush is deferred is not used again before that flush.
            let end = what.iova + what.len;
            let pending = &driver.domains[domain].pending;
            if pending
                .iter()
                .any(|old| old.iova < end && what.iova < old.iova + old.len)
            {
                return Ok(0);
            }
            driver
                .hw
                .probes
                .borrow_mut()
                .extend([what.iova, end - PAGE]);
            driver.hw.fill_caches();
            let flushed = driver.map(domain, what, tables);
            Ok(u32::from(flushed) * driver.domains[domain].attached().len() as u32)
        }
        Operation::Unmap {
            domain,
            nth,
            how,
            lazily,
        } => unmap(driver, domain, nth, how, lazily),
        Operation::FlushAll { domain, nth } => {
            let during = driver.domains[domain].truth.get(nth);
            let during = during.map(|what| (what.iova, what.len));
            driver.flush_all(domain, during);
            Ok(driver.domains[domain].attached().len() as u32)
        }
        Operation::Attach { device, target } => {
            driver.attach_group(device, target);
            // IOTLB invalidations for the old and the new domain: the devices may have had none.
            Ok(2 * 4)
        }
        Operation::DisableFaultProcessing { device } => {
            driver.disable_fault_processing(device);
            Ok(0)
        }
    }
}

fn unmap(
    driver: &mut Driver,
    domain: usize,
    nth: usize,
    how: u8,
    lazily: bool,
) -> Result<u32, String> {
    let truth = &driver.domains[domain].truth;
    if truth.is_empty() {
        return Ok(0);
    }
    let one = truth[nth % truth.len()];
    let next = truth[(nth + 1) % truth.len()];
    let half = (one.len / 2).max(PAGE) & !(PAGE - 1);
    let ranges = match how {
        0 => vec![(one.iova, one.len)],
        1 => vec![(one.iova, half)],
        2 => vec![(one.iova + one.len - half, half)],
        _ if one == next => vec![(one.iova, one.len)],
        _ => vec![(one.iova, one.len), (next.iova, next.len)],
    };
    if lazily {
        for (iova, len) in ranges {
            driver.unmap_lazily(domain, iova, len);
        }
        return Ok(0);
    }
    let (range, freed) = driver.unmap_strictly(domain, &ranges);
    let Some((first, last)) = range else {
        return Ok(0);
    };
    let block = PageBlock::covering(Iova::new(first), Iova::new(last)).ok_or("no block")?;
    for (unit, id) in driver.domains[domain].attached() {
        let cap = driver.hw.cap(unit);
        let exact = cap.page_selective() && block.address_mask() <= cap.max_address_mask();
        let unit = driver.hw.units[unit].borrow();
        let outside = |leaf: &&Leaf| {
            let far = leaf.1 > block.last().raw() || leaf.1 + leaf.2 <= block.address().raw();
            leaf.0 != id || (exact && far)
        };
        if let Some(leaf) = unit.counts.leaves.iter().find(outside) {
            return Err(format!("dropped {leaf:x?}, outside of {block}"));
        }
        if exact && !freed && unit.counts.links > 0 {
            return Err(format!("{} links dropped for nothing", unit.counts.links));
        }
    }
    Ok(0)
}

/// Checks what must hold between two operations.
fn check_invariants(driver: &Driver) -> Result<(), String> {
    if let Some(problem) = driver.hw.problem() {
        return Err(problem);
    }
    for (number, unit) in driver.hw.units.iter().enumerate() {
        let unit = unit.borrow();
        if let Some(stale) = unit.entries.stale() {
            return Err(format!("unit {number} holds {stale}"));
        }
        let ids = unit.leaves.iter().map(|leaf| leaf.0);
        let ids: BTreeSet<u16> = ids.chain(unit.links.iter().map(|link| link.0)).collect();
        for id in ids {
            if !driver.ids[number].contains(&id) {
                return Err(format!(
                    "unit {number} caches entries of {id}, which is not allocated"
                ));
            }
        }
        for device in driver.devices.iter().filter(|one| one.unit == number) {
            check_device(driver, device)?;
        }
        for domain in &driver.domains {
            if let Some(&(_, id)) = domain.attached().iter().find(|one| one.0 == number) {
                check_domain(driver, number, id, domain)?;
            }
        }
    }
    Ok(())
}

/// Checks that the context entries of a device lead to what it is attached to.
fn check_device(driver: &Driver, device: &Device) -> Result<(), String> {
    let of_unit = |one: &(usize, u16)| one.0 == device.unit;
    for &source in device.sources {
        let entry = driver.entry(device.unit, source);
        let Some(domain) = device.state.domain else {
            continue;
        };
        let joined = driver.domains[domain].attached().into_iter().find(of_unit);
        let id = joined.map(|one| one.1);
        if id.is_none() || id != entry.domain().map(DomainId::raw) {
            return Err(format!(
                "{source:#x} is not in its domain, but has {entry:?}"
            ));
        }
    }
    Ok(())
}

/// Checks that the translations that a unit holds for a domain are exactly the mapped ranges.
fn check_domain(driver: &Driver, number: usize, id: u16, domain: &Domain) -> Result<(), String> {
    let unit = driver.hw.units[number].borrow();
    let of_domain = || unit.leaves.range((id, 0, 0, 0, 0)..(id + 1, 0, 0, 0, 0));
    for &(_, first, bytes, phys, rights) in of_domain() {
        let is_in = |part: &Extent| {
            first >= part.iova
                && first + bytes <= part.iova + part.len
                && phys == part.phys + (first - part.iova)
                && rights == part.rights
        };
        if !domain.truth.iter().chain(&domain.pending).any(is_in) {
            return Err(format!(
                "unit {number} still holds {first:#x}+{bytes:#x} -> {phys:#x} of {id}"
            ));
        }
    }
    for part in &domain.truth {
        let below = unit
            .leaves
            .range((id, 0, 0, 0, 0)..=(id, part.iova, u64::MAX, 0, 0));
        if below.last().is_none_or(|leaf| leaf.1 + leaf.2 <= part.iova) {
            return Err(format!("unit {number} does not find {part:x?} of {id}"));
        }
        for &(_, level, first) in unit.absences.range((id, 0, 0)..(id + 1, 0, 0)) {
            let end = first + (1 << (12 + 9 * (level - 1)));
            if first < part.iova + part.len && part.iova < end {
                return Err(format!("unit {number} holds {first:#x} of {id} as absent"));
            }
        }
    }
    let linked = links_in_memory(driver, domain);
    for &(_, level, first, table) in unit.links.range((id, 0, 0, 0)..(id + 1, 0, 0, 0)) {
        let queued = domain.queue.tables.iter().any(|page| page.phys() == table);
        if !queued && !linked.contains(&(level, first, table)) {
            return Err(format!(
                "unit {number} still links {table:#x} at {first:#x}"
            ));
        }
    }
    Ok(())
}

/// Returns every link of a domain's tables: level, first address and physical address of the table
/// to which it leads.
fn links_in_memory(driver: &Driver, domain: &Domain) -> BTreeSet<(u32, u64, u64)> {
    let arena = &driver.hw.arena;
    let mut links = BTreeSet::new();
    let mut todo = vec![(3u32, 0u64, domain.stage.top(&driver.hw).phys())];
    while let Some((level, base, table)) = todo.pop() {
        for index in 0..512 {
            let entry = arena.hardware_read(table + index * 8).unwrap_or(0);
            if entry & 3 != 0 && entry & 0x80 == 0 && level > 1 {
                let first = base + (index << (12 + 9 * (level - 1)));
                let link = (level - 1, first, entry & 0x000f_ffff_ffff_f000);
                links.insert(link);
                todo.push(link);
            }
        }
    }
    links
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_stale_nothing_freed_nothing_useless(scenario in scenario()) {
        let outcome = run(&scenario, Bug::None);
        prop_assert_eq!(outcome.end, Ok(()));
    }
}
