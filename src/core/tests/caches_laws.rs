// SPDX-License-Identifier: GPL-2.0

//! What must hold between two operations of the driver.

use crate::caches_domain::Domain;
use crate::caches_driver::{Device, Driver};
use std::collections::BTreeSet;
use vtd_core::spec::address::DomainId;

/// Checks what must hold between two operations.
pub(crate) fn check_invariants(driver: &Driver) -> Result<(), String> {
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
            check_translated(driver, device)?;
        }
        for (at, domain) in driver.domains.iter().enumerate() {
            if let Some(id) = domain.id_on(number) {
                let uses = |one: &Device| one.unit == number && one.state.domain == Some(at);
                let mut users = driver.devices.iter().filter(|one| uses(one));
                let is_used = users.any(|one| !one.is_lost());
                check_domain(driver, number, id, domain, is_used)?;
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
        if device.is_lost() {
            if entry.is_present() {
                return Err(format!("{source:#x} is cut off, but has {entry:?}"));
            }
            continue;
        }
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

/// Checks that what a device reaches by translated requests is what it is attached to.
fn check_translated(driver: &Driver, device: &Device) -> Result<(), String> {
    let unit = driver.hw.units[device.unit].borrow();
    for (source, leaf) in unit.translated() {
        if !device.sources.contains(&source) {
            continue;
        }
        let domain = device.state.domain.map(|at| &driver.domains[at]);
        let is_mapped = |domain: &Domain| {
            let mut mapped = domain.truth.iter().chain(&domain.pending);
            domain.id_on(device.unit) == Some(leaf.0) && mapped.any(|part| part.holds(leaf))
        };
        if device.is_lost() || !domain.is_some_and(is_mapped) {
            return Err(format!(
                "{source:#x} reaches {leaf:x?} by a translated request"
            ));
        }
    }
    Ok(())
}

/// Checks that the translations that a unit holds for a domain are mapped ranges, and all of them if
/// the domain `is_used`.
fn check_domain(
    driver: &Driver,
    number: usize,
    id: u16,
    domain: &Domain,
    is_used: bool,
) -> Result<(), String> {
    let unit = driver.hw.units[number].borrow();
    let of_domain = || unit.leaves.range((id, 0, 0, 0, 0)..(id + 1, 0, 0, 0, 0));
    for leaf in of_domain() {
        let mut mapped = domain.truth.iter().chain(&domain.pending);
        if !mapped.any(|part| part.holds(leaf)) {
            let &(_, first, bytes, phys, _) = leaf;
            return Err(format!(
                "unit {number} still holds {first:#x}+{bytes:#x} -> {phys:#x} of {id}"
            ));
        }
    }
    for part in domain.truth.iter().filter(|_| is_used) {
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
