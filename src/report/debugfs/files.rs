// SPDX-License-Identifier: GPL-2.0

//! The files in debugfs: those in `/sys/kernel/debug/vtd`, and those of the in-tree driver in
//! `/sys/kernel/debug/iommu/intel`, where its users expect them.

use super::domain_translation::TranslationFiles;
use super::view::{ShowChunk, UnitView, View};
use super::walk::WalkFile;
use super::{
    context_entries, device_tlbs, domains, groups, interrupts, queue, registers, statistics, users,
};
use crate::machine::Machine;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel_ext::debugfs::{Dir, File};
use kernel_ext::log_info;

/// The files; they are removed when this is dropped.
pub(crate) struct Debugfs {
    _of_units: KVec<File<View<UnitView>>>,
    _of_all: KVec<File<View<Arc<Machine>>>>,
    _walk: File<WalkFile>,
}

impl Debugfs {
    /// Creates the files of the driver and of all units; `translations` has those of devices.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn new(machine: &Arc<Machine>, translations: &TranslationFiles) -> Result<Self> {
        let folder = Dir::new(c"vtd", None)?;
        let of_units = files_of_units(machine, &folder)?;
        let of_all = files_of_machine(machine, &folder, translations)?;
        let walks = Arc::pin_init(WalkFile::new(machine.clone()), GFP_KERNEL)?;
        let walk = File::new(c"walk", folder, walks);
        Ok(Debugfs {
            _of_units: of_units,
            _of_all: of_all,
            _walk: walk,
        })
    }
}

/// Creates the files of each unit, in a folder of `folder` with its name.
fn files_of_units(machine: &Arc<Machine>, folder: &Arc<Dir>) -> Result<KVec<File<View<UnitView>>>> {
    let mut files = KVec::new();
    for served in machine.units() {
        let unit = Dir::new(served.unit.name(), Some(folder.clone()))?;
        let view = |part| {
            let one = UnitView {
                machine: machine.clone(),
                unit: served.unit.clone(),
            };
            Arc::new(View(one, part), GFP_KERNEL)
        };
        for file in [
            File::new(
                c"statistics",
                unit.clone(),
                view(statistics::show_statistics)?,
            ),
            File::new(c"waits", unit.clone(), view(statistics::show_waits)?),
            File::new(c"registers", unit.clone(), view(registers::show_unit)?),
            File::new(c"contexts", unit.clone(), view(context_entries::show_unit)?),
            File::new(c"queue", unit.clone(), view(queue::show_unit)?),
            File::new(c"interrupts", unit.clone(), view(interrupts::show_unit)?),
        ] {
            files.push(file, GFP_KERNEL)?;
        }
    }
    Ok(files)
}

/// Creates the files of all units together: those in `folder`, and those of the in-tree driver
/// unless it has them itself.
fn files_of_machine(
    machine: &Arc<Machine>,
    folder: &Arc<Dir>,
    translations: &TranslationFiles,
) -> Result<KVec<File<View<Arc<Machine>>>>> {
    let mut files = KVec::new();
    let view = |part| Arc::new(View(machine.clone(), part), GFP_KERNEL);
    let in_tree = translations.folder();
    for file in [
        File::new(c"faults", folder.clone(), view(statistics::show_faults)?),
        File::new(c"users", folder.clone(), view(users::show_users)?),
        File::new(c"groups", folder.clone(), view(groups::show_groups)?),
        File::new(
            c"device_tlbs",
            folder.clone(),
            view(device_tlbs::show_device_tlbs)?,
        ),
        File::new(c"domains", folder.clone(), view(domains::show_domains)?),
    ] {
        files.push(file, GFP_KERNEL)?;
    }
    let parts: [(&CStr, ShowChunk<Arc<Machine>>); 4] = [
        (c"iommu_regset", registers::show_all),
        (c"dmar_translation_struct", context_entries::show_all),
        (c"invalidation_queue", queue::show_all),
        (c"ir_translation_struct", interrupts::show_all),
    ];
    if in_tree.already_existed() {
        log_info!(
            "the in-tree driver, which is off, has files of its own in debugfs iommu/intel \
             (CONFIG_INTEL_IOMMU_DEBUGFS), which are empty: read registers, contexts and \
             queue in debugfs vtd/dmar0 and so on"
        );
    } else {
        for (name, part) in parts {
            let file = File::new(name, in_tree.clone(), view(part)?);
            files.push(file, GFP_KERNEL)?;
        }
    }
    Ok(files)
}
