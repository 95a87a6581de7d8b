// SPDX-License-Identifier: GPL-2.0

//! Random scenarios with two domains, five devices and two units.

use crate::caches_attach::Target;
use crate::caches_bugs::Bug;
use crate::caches_domain::Extent;
use crate::caches_driver::{CutOff, Driver, WITH_TLB};
use crate::caches_hardware::{Counts, Kind, Leaf};
use crate::caches_laws::check_invariants;
use proptest::prelude::*;
use vtd_core::spec::address::Iova;
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
        cut_off: CutOff,
    },
    DisableFaultProcessing {
        device: usize,
        cut_off: CutOff,
    },
    /// The device answers nothing from now on.
    Deafen {
        device: usize,
    },
    /// The core resets a device, which is blocked until that is done. Or someone else resets it, maybe
    /// while another processor cuts it off, and then it is attached to `target`.
    Reset {
        device: usize,
        target: Option<Target>,
        cut_off: bool,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    units: [Kind; 2],
    /// Which devices have TLBs.
    tlbs: [bool; 3],
    /// Whether the units name a device that does not answer.
    names_silent: bool,
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
    let cut_off = prop_oneof![
        8 => Just(CutOff::Never),
        1 => Just(CutOff::BeforeLook),
        1 => Just(CutOff::AfterLook),
    ];
    let with_tlb = prop::sample::select(WITH_TLB.to_vec());
    let tables = prop_oneof![5 => Just(i64::MAX), 1 => 0i64..3];
    prop_oneof![
        6 => (domain.clone(), extent(), tables)
            .prop_map(|(domain, what, tables)| Operation::Map { domain, what, tables }),
        5 => (domain.clone(), 0usize..64, 0u8..4, prop::bool::weighted(0.2))
            .prop_map(|(domain, nth, how, lazily)| Operation::Unmap { domain, nth, how, lazily }),
        1 => (domain, 0usize..12).prop_map(|(domain, nth)| Operation::FlushAll { domain, nth }),
        4 => (0usize..5, target.clone(), cut_off.clone())
            .prop_map(|(device, target, cut_off)| Operation::Attach { device, target, cut_off }),
        1 => (0usize..5, cut_off).prop_map(|(device, cut_off)| {
            Operation::DisableFaultProcessing { device, cut_off }
        }),
        2 => with_tlb.clone().prop_map(|device| Operation::Deafen { device }),
        2 => (with_tlb, prop::option::of(target), any::<bool>()).prop_map(|(device, target, cut_off)| {
            Operation::Reset { device, target, cut_off }
        }),
    ]
}

pub(crate) fn scenario() -> impl Strategy<Value = Scenario> {
    let operations = prop::collection::vec(operation(), 4..28);
    let mode = prop::sample::select(vec![
        TranslationTableMode::Legacy,
        TranslationTableMode::Scalable,
    ]);
    let unit = (capability(), mode);
    let tlbs = prop::array::uniform3(prop::bool::weighted(0.5));
    ([unit.clone(), unit], tlbs, any::<bool>(), operations).prop_map(
        |(units, tlbs, names_silent, operations)| Scenario {
            units,
            tlbs,
            names_silent,
            operations,
        },
    )
}

/// Runs a scenario on a driver with a bug, up to the first problem.
pub(crate) fn run(scenario: &Scenario, bug: Bug) -> Outcome {
    let mut driver = Driver::new(scenario.units, scenario.tlbs, bug);
    for unit in &driver.hw.units {
        unit.borrow_mut().names_silent = scenario.names_silent;
    }
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
        let time_outs = sum_counts(driver, |counts| counts.time_outs);
        // Nothing is cached for a device that was cut off.
        let some_are_lost = time_outs > 0 || driver.devices.iter().any(|one| one.is_lost());
        if did > vain && !some_are_lost {
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

/// The IOTLB invalidations of an attach, for the old and the new domain: the devices may have had none.
const ATTACH_VAIN: u32 = 2 * 4;

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
            Ok(u32::from(flushed) * driver.reached(domain))
        }
        Operation::Unmap {
            domain,
            nth,
            how,
            lazily,
        } => unmap(driver, domain, nth, how, lazily),
        Operation::FlushAll { domain, nth } => {
            let it = &driver.domains[domain];
            let during = it.truth.get(nth).filter(|_| !it.is_strict);
            let during = during.map(|what| (what.iova, what.len));
            driver.flush_all(domain, during);
            Ok(driver.reached(domain))
        }
        Operation::Attach {
            device,
            target,
            cut_off,
        } => {
            driver.cut_off = cut_off;
            driver.attach_group(device, target);
            driver.cut_off = CutOff::Never;
            Ok(ATTACH_VAIN)
        }
        Operation::DisableFaultProcessing { device, cut_off } => {
            driver.cut_off = cut_off;
            driver.disable_fault_processing(device);
            driver.cut_off = CutOff::Never;
            // The processor that has cut it off waits as well.
            (0..driver.hw.units.len()).for_each(|unit| driver.hw.finish(unit));
            Ok(0)
        }
        Operation::Deafen { device } => {
            driver.deafen(device);
            Ok(0)
        }
        Operation::Reset {
            device,
            target,
            cut_off,
        } => {
            match target {
                None => driver.reset_by_core(device),
                Some(target) => driver.reset_and_attach(device, target, cut_off),
            }
            Ok(2 * ATTACH_VAIN)
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
    if lazily && !driver.domains[domain].is_strict {
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
        if unit.counts.time_outs > 0 {
            continue;
        }
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_stale_nothing_freed_nothing_useless(scenario in scenario()) {
        let outcome = run(&scenario, Bug::None);
        prop_assert_eq!(outcome.end, Ok(()));
    }
}
