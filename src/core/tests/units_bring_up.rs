// SPDX-License-Identifier: GPL-2.0

//! No unit of a machine hangs at bring-up, none translates with entries that it cached before, and
//! each has completed a wait.

use vtd_core::bring_up::{steps, BringUpStep};
use vtd_core::spec::capability::Capability;

const RWBF: u64 = 1 << 4;
const ESRTPS: u64 = 1 << 63;

/// The state of a unit during bring-up.
#[derive(Clone, Default)]
struct Unit {
    queue: bool,
    /// Whether the write buffer may still hold tables that were written.
    buffered: bool,
    root_table: bool,
    /// Whether the unit may hold what it cached before the root table was set.
    stale: bool,
    /// Whether the queue has completed a wait.
    waited: bool,
}

/// A machine whose units wait for each other: an invalidation completes when all queues are on.
struct Machine {
    caps: Vec<Capability>,
    units: Vec<Unit>,
}

impl Machine {
    fn new(caps: &[u64]) -> Self {
        let unit = |cap: &u64| Unit {
            buffered: cap & RWBF != 0,
            ..Unit::default()
        };
        Self {
            caps: caps.iter().copied().map(Capability::from_raw).collect(),
            units: caps.iter().map(unit).collect(),
        }
    }

    fn take(&mut self, at: usize, step: BringUpStep) -> Result<(), String> {
        let all_on = self.units.iter().all(|unit| unit.queue);
        let unit = &mut self.units[at];
        match step {
            BringUpStep::EnableQueue => unit.queue = true,
            BringUpStep::FlushWriteBuffer if self.caps[at].needs_write_buffer_flush() => {
                unit.buffered = false
            }
            BringUpStep::FlushWriteBuffer => return Err(format!("unit {at} cannot flush")),
            BringUpStep::SetRootTable if unit.buffered => {
                return Err(format!("unit {at} reads what is not yet written"))
            }
            BringUpStep::SetRootTable => {
                unit.root_table = true;
                unit.stale = !self.caps[at].root_table_invalidates();
            }
            BringUpStep::InvalidateAll | BringUpStep::CompleteWait if !all_on => {
                return Err(format!("unit {at} hangs"))
            }
            BringUpStep::CompleteWait if !unit.root_table => {
                return Err(format!("unit {at} has no table to fail with"))
            }
            BringUpStep::CompleteWait => unit.waited = true,
            BringUpStep::InvalidateAll if !unit.root_table => {
                return Err(format!("unit {at} caches the old root table again"))
            }
            BringUpStep::InvalidateAll if !unit.stale => {
                return Err(format!("unit {at} invalidates without need"))
            }
            BringUpStep::InvalidateAll => {
                unit.stale = false;
                unit.waited = true;
            }
        }
        Ok(())
    }

    fn bring_up(
        caps: &[u64],
        order: impl IntoIterator<Item = (usize, BringUpStep)>,
    ) -> Result<(), String> {
        let mut machine = Self::new(caps);
        for (at, step) in order {
            machine.take(at, step)?;
        }
        let ready = |unit: &Unit| unit.queue && unit.root_table && !unit.stale && unit.waited;
        match machine.units.iter().position(|unit| !ready(unit)) {
            Some(at) => Err(format!("unit {at} is not ready")),
            None => Ok(()),
        }
    }
}

/// Returns every machine of up to four units.
fn machines() -> impl Iterator<Item = Vec<u64>> {
    let kinds = [0, RWBF, ESRTPS, RWBF | ESRTPS];
    (0..=4u32).flat_map(move |count| {
        (0..4usize.pow(count)).map(move |mut number| {
            let mut next = || {
                let kind = kinds[number % 4];
                number /= 4;
                kind
            };
            (0..count).map(|_| next()).collect()
        })
    })
}

fn order(caps: &[u64]) -> Vec<(usize, BringUpStep)> {
    steps(0..caps.len(), |at| Capability::from_raw(caps[at])).collect()
}

#[test]
fn every_machine_is_brought_up_and_no_unit_hangs() {
    for caps in machines() {
        assert_eq!(Machine::bring_up(&caps, order(&caps)), Ok(()), "{caps:x?}");
    }
}

/// The order that the driver used before: each unit completely, one after the other.
#[test]
fn unit_by_unit_hangs() {
    let caps = [0, 0];
    let unit_by_unit = (0..2).flat_map(|at| {
        let of_unit = order(&caps).into_iter().filter(move |step| step.0 == at);
        of_unit.collect::<Vec<_>>()
    });
    let end = Machine::bring_up(&caps, unit_by_unit);
    assert_eq!(end, Err("unit 0 hangs".into()));
}

#[test]
fn a_step_left_out_or_exchanged_with_the_next_is_noticed() {
    for caps in machines().filter(|caps| !caps.is_empty()) {
        let right = order(&caps);
        for left_out in 0..right.len() {
            let mut wrong = right.clone();
            wrong.remove(left_out);
            assert!(
                Machine::bring_up(&caps, wrong).is_err(),
                "{caps:x?}, {left_out}"
            );
        }
        for first in 0..right.len() - 1 {
            let (one, other) = (right[first], right[first + 1]);
            // Between different units, only the last queue and the first invalidation depend on
            // each other.
            if one.0 == other.0 && one.1 != BringUpStep::EnableQueue {
                let mut wrong = right.clone();
                wrong.swap(first, first + 1);
                assert!(
                    Machine::bring_up(&caps, wrong).is_err(),
                    "{caps:x?}, {first}"
                );
            }
        }
    }
}
