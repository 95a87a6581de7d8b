// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/vtd`: `dmarN/statistics`, and `faults` of each device.

use crate::driver::Vtd;
use crate::unit::Unit;
use kernel::debugfs::{Dir, File};
use kernel::prelude::*;
use kernel::sync::Arc;

/// The files, which go when this does.
pub(crate) struct Debugfs {
    _files: KVec<Pin<KBox<File<Arc<Unit>>>>>,
    _faults: Pin<KBox<File<Arc<Vtd>>>>,
    _folder: Dir,
}

fn statistics(unit: &Arc<Unit>, to: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
    unit.statistics().show(to)
}

/// A line for each device that was refused something.
fn faults(vtd: &Arc<Vtd>, to: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
    let mut result = Ok(());
    vtd.for_each_device(|info| {
        let (total, not_shown, silenced) = info.fault_reports.counts();
        if total > 0 && result.is_ok() {
            let recorded = if silenced { "no" } else { "yes" };
            result = to.write_fmt(core::format_args!(
                "{info} faults={total} not-shown={not_shown} recorded={recorded}\n"
            ));
        }
    });
    result
}

impl Debugfs {
    /// Makes the files of all units of `vtd`.
    pub(crate) fn new(vtd: &Arc<Vtd>) -> Result<Self> {
        let folder = Dir::new(c"vtd");
        let mut files = KVec::new();
        for served in vtd.units() {
            let unit = folder.subdir(served.unit.name());
            let file = unit.read_callback_file(c"statistics", served.unit.clone(), &statistics);
            files.push(KBox::pin_init(file, GFP_KERNEL)?, GFP_KERNEL)?;
        }
        let faults = folder.read_callback_file(c"faults", vtd.clone(), &faults);
        Ok(Debugfs {
            _faults: KBox::pin_init(faults, GFP_KERNEL)?,
            _files: files,
            _folder: folder,
        })
    }
}
