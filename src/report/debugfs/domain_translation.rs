// SPDX-License-Identifier: GPL-2.0

//! `iommu/intel/<device>/domain_translation_struct` in debugfs: what a device can reach, entry by
//! entry, where and as the in-tree driver shows it. The kernel's own VFIO tests read page sizes
//! from it.
//!
//! Nothing is shown of a device without page tables (blocked, identity). A reading of a domain
//! that changes meanwhile shows each leaf as it is when the reading comes by.

use crate::device::DeviceInfo;
use crate::machine::DeviceObserver;
use core::fmt::{self, Write};
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel_ext::debugfs::{Dir, File, SeqFile, Text};
use vtd_core::pgtable::VisitedLeaf;
use vtd_core::spec::address::{Iova, PAGE_SHIFT};

/// Leaves in one part of a file: their lines fit a page.
const LEAVES: usize = 32;

/// The files of all devices.
#[pin_data]
pub(crate) struct TranslationFiles {
    folder: Arc<Dir>,
    #[pin]
    files: Mutex<KVec<DeviceFile>>,
}

/// One device's file.
struct DeviceFile {
    info: Arc<DeviceInfo>,
    _file: File<TranslationView>,
}

impl TranslationFiles {
    /// No files yet. [`ENOMEM`].
    pub(crate) fn new() -> Result<impl PinInit<Self>> {
        // Both are there if the kernel was built to show in-tree drivers' tables.
        let folder = Dir::new(c"intel", Some(Dir::new(c"iommu", None)?))?;
        Ok(pin_init!(Self {
            folder,
            files <- new_mutex!(KVec::new(), "vtd translations"),
        }))
    }

    /// Where the in-tree driver has its files.
    pub(super) fn folder(&self) -> &Arc<Dir> {
        &self.folder
    }
}

impl DeviceObserver for TranslationFiles {
    fn added(&self, info: &Arc<DeviceInfo>) -> Result {
        let name = CString::try_from_fmt(core::format_args!("{}", **info))?;
        let folder = Dir::new(&name, Some(self.folder.clone()))?;
        let tables = Arc::new(TranslationView(info.clone()), GFP_KERNEL)?;
        let file = File::new(c"domain_translation_struct", folder, tables);
        self.files.lock().push(
            DeviceFile {
                info: info.clone(),
                _file: file,
            },
            GFP_KERNEL,
        )?;
        Ok(())
    }

    fn removed(&self, info: &DeviceInfo) {
        let mut files = self.files.lock();
        let at = files
            .iter()
            .position(|file| core::ptr::eq(&*file.info, info));
        let removed = at.and_then(|at| files.remove(at).ok());
        drop(files);
        drop(removed);
    }
}

/// What a device's file shows.
struct TranslationView(Arc<DeviceInfo>);

impl SeqFile for TranslationView {
    fn show_chunk(&self, number: u64, domain: &mut u64, to: &mut Text<'_>) -> Option<u64> {
        let attached = self.0.domain()?;
        let token = Arc::as_ptr(&attached).cast::<()>() as u64;
        // The first part begins at address 0 and has the heading, others begin at a page.
        let from = number.saturating_sub(1) << PAGE_SHIFT;
        let written = if number == 0 {
            *domain = token;
            write_heading(&self.0, attached.top_table().raw(), to)
        } else if *domain != token {
            let _ = writeln!(to, "(the device is attached to another domain now)");
            return None;
        } else {
            Ok(())
        };
        let mut leaves = KVec::with_capacity(LEAVES, GFP_KERNEL).ok()?;
        let next = attached.collect_leaves(Iova::new(from), &mut leaves);
        written
            .and_then(|()| leaves.iter().try_for_each(|leaf| write_leaf(leaf, to)))
            .ok()?;
        Some((next?.raw() >> PAGE_SHIFT) + 1)
    }
}

fn write_heading(info: &DeviceInfo, top: u64, to: &mut Text<'_>) -> fmt::Result {
    let source = info.source;
    writeln!(to, "Device {}:{source} @{top:#x}", info.segment)?;
    writeln!(
        to,
        "{:<17}\t{:<18}\t{:<18}\t{:<18}\t{:<18}\tPTE",
        "IOVA_PFN", "PML5E", "PML4E", "PDPE", "PDE"
    )
}

/// A leaf, after the entries that lead to it. Three columns are there however high it stands.
fn write_leaf(leaf: &VisitedLeaf, to: &mut Text<'_>) -> fmt::Result {
    write!(to, "{:#015x} |", leaf.iova.raw() >> PAGE_SHIFT)?;
    let lowest = usize::from(leaf.level.number()).min(3);
    let entries = leaf
        .path
        .get(lowest.saturating_sub(1)..)
        .unwrap_or_default();
    for entry in entries.iter().rev() {
        write!(to, "\t{entry:#018x}")?;
    }
    to.write_str("\n")
}
