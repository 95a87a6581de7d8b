// SPDX-License-Identifier: GPL-2.0

//! Log messages about interrupts: what each unit guarantees, and the owner of an entry that a
//! refused request named.

use crate::machine::{Machine, ServedUnit};
use crate::unit::Unit;
use core::fmt;
use kernel_ext::device::Name;
use kernel_ext::log_info;
use kernel_ext::wired_irq::{self, WiredSource};
use vtd_core::interrupt_policy::{CompatibilityUser, InterruptPolicy};
use vtd_core::spec::address::{Segment, SourceId};
use vtd_core::spec::fault::FaultRecord;

/// How many interrupts in use a message names.
const NAMED: usize = 4;

/// Formats who uses the interrupts that prevent isolation.
struct UsersText<'a>(&'a Machine, &'a Unit, CompatibilityUser);

impl fmt::Display for UsersText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UsersText(machine, unit, user) = *self;
        let (mut count, mut done) = (0, Ok(()));
        let mut separator = || {
            count += 1;
            (count <= NAMED).then_some(if count == 1 { " (in use: " } else { ", " })
        };
        match user {
            CompatibilityUser::IoApic(wanted) => wired_irq::for_each(|irq| match irq.source {
                WiredSource::IoApic { id, pin } if id == wanted && irq.is_in_use() => {
                    if let Some(between) = separator() {
                        done = done.and(write!(f, "{between}pin {pin} by {}", irq.user()));
                    }
                }
                _ => {}
            }),
            CompatibilityUser::Hpet(_) => {}
            CompatibilityUser::AdoptedDevice => {
                machine
                    .untranslated
                    .adopted
                    .for_each_behind(unit, |device| {
                        if let Some(between) = separator() {
                            done = done.and(write!(f, "{between}{}", device.as_device()));
                        }
                    });
            }
        }
        done?;
        match count {
            0 => Ok(()),
            1..=NAMED => f.write_str(")"),
            more => write!(f, ", {} more)", more - NAMED),
        }
    }
}

/// Logs for each unit in one sentence whether its devices can forge interrupts, and why.
///
/// # Context
///
/// May sleep.
pub(crate) fn log_interrupts(machine: &Machine) {
    machine
        .units()
        .for_each(|served| log_policy(machine, served));
}

fn log_policy(machine: &Machine, served: &ServedUnit) {
    let unit = &*served.unit;
    match served.interrupts.policy() {
        InterruptPolicy::Remapped(_, None) => log_info!(
            "{unit}: interrupts are remapped: a device can raise no interrupt but its own"
        ),
        InterruptPolicy::Remapped(_, Some(user)) => log_info!(
            "{unit}: interrupts are remapped, but a device can forge one in compatibility format, \
             which {user} needs{}: {}",
            UsersText(machine, unit, user),
            user.remedy()
        ),
        policy @ InterruptPolicy::Off(why) => match policy.compatibility_user() {
            Some(user) => log_info!(
                "{unit}: interrupts are not remapped, so a device can forge any: {why}{}: {}",
                UsersText(machine, unit, user),
                user.remedy()
            ),
            None => {
                log_info!("{unit}: interrupts are not remapped, so a device can forge any: {why}")
            }
        },
    }
}

/// The device to which the entry belongs that a refused interrupt request named.
pub(super) struct EntryOwner {
    /// The entry; [`None`] for a request in compatibility format.
    index: Option<u16>,
    /// Its device, if it belongs to one, and that one's driver.
    owner: Option<(SourceId, Option<Name>)>,
    segment: Segment,
    sender: SourceId,
}

impl EntryOwner {
    /// Returns the owner of the entry; [`None`] if `record` is not about an interrupt request.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(super) fn read(machine: &Machine, unit: &Unit, record: &FaultRecord) -> Option<Self> {
        if !record.is_interrupt() {
            return None;
        }
        let (index, segment) = (record.interrupt_index(), unit.segment());
        let source = index.and_then(|index| unit.interrupt_owner(index));
        let owner = source.map(|source| {
            let info = machine.fault_device(segment, source);
            let driver = info.and_then(|info| info.pci.as_device().driver());
            (source, driver.map(|driver| driver.name))
        });
        Some(EntryOwner {
            index,
            owner,
            segment,
            sender: record.source,
        })
    }
}

impl fmt::Display for EntryOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(index) = self.index else {
            return f.write_str("which is forged, or was set up before vtd was loaded");
        };
        write!(f, "entry {index:#x} ")?;
        match &self.owner {
            None => f.write_str("belongs to no device"),
            Some((source, _)) if *source == self.sender => f.write_str("is its own"),
            Some((source, driver)) => {
                write!(f, "belongs to {}:{source}", self.segment)?;
                match driver {
                    Some(driver) => write!(f, " (driver {driver})"),
                    None => f.write_str(" (no driver)"),
                }
            }
        }
    }
}

/// Stops the recording of faults of the entry that a refused request named. Returns the result in
/// words, for the end of a message.
///
/// # Context
///
/// May sleep.
pub(super) fn silence_interrupt(unit: &Unit, record: &FaultRecord) -> &'static str {
    let silenced = record
        .interrupt_index()
        .is_some_and(|index| unit.disable_interrupt_fault_processing(index));
    match silenced {
        true => {
            ", and those that name this entry, or a further one that continues, are no longer \
             recorded until the entry is used again"
        }
        false => ", and the unit cannot be made to stop recording them",
    }
}
