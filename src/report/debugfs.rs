// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/vtd/dmarN/statistics`.

use crate::driver::Vtd;
use crate::unit::Unit;
use kernel::debugfs::{Dir, File};
use kernel::prelude::*;
use kernel::sync::Arc;

/// The files, which go when this does.
pub(crate) struct Debugfs {
    _files: KVec<Pin<KBox<File<Arc<Unit>>>>>,
    _folder: Dir,
}

fn statistics(unit: &Arc<Unit>, to: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
    unit.statistics().show(to)
}

impl Debugfs {
    /// Makes the files of all units of `vtd`.
    pub(crate) fn new(vtd: &Vtd) -> Result<Self> {
        let folder = Dir::new(c"vtd");
        let mut files = KVec::new();
        for served in vtd.units() {
            let unit = folder.subdir(served.unit.name());
            let file = unit.read_callback_file(c"statistics", served.unit.clone(), &statistics);
            files.push(KBox::pin_init(file, GFP_KERNEL)?, GFP_KERNEL)?;
        }
        Ok(Debugfs {
            _files: files,
            _folder: folder,
        })
    }
}
