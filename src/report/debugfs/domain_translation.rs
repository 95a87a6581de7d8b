// SPDX-License-Identifier: GPL-2.0

//! `iommu/intel/<device>/domain_translation_struct` in debugfs: the page-table entries of a
//! device's domain, in the place and format of the in-tree driver. The kernel's own VFIO tests read
//! page sizes from it.
//!
//! The file of a device without page tables (blocked, identity) is empty. If a domain changes while
//! the file is read, each leaf is shown as it is when the reader reaches it.

use crate::device::DeviceInfo;
use crate::machine::DeviceObserver;
use core::fmt::{self, Write};
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::{new_mutex, Arc, Mutex};
use kernel_ext::debugfs::{Dir, File, SeqFile, Text};
use vtd_core::pgtable::VisitedLeaf;
use vtd_core::spec::address::{Iova, PAGE_SHIFT};

/// Leaves in one chunk of a file; their lines fit into a page.
const LEAVES: usize = 32;

/// The `domain_translation_struct` files of all devices.
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
    /// Finds or creates the directory of the in-tree driver, without files.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn new() -> Result<impl PinInit<Self>> {
        // Both directories exist already if the kernel was built with the in-tree driver's debugfs
        // files.
        let folder = Dir::new(c"intel", Some(Dir::new(c"iommu", None)?))?;
        Ok(pin_init!(Self {
            folder,
            files <- new_mutex!(KVec::new(), "vtd translations"),
        }))
    }

    /// Returns the directory in which the in-tree driver has its files.
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

/// The content of one device's file.
struct TranslationView(Arc<DeviceInfo>);

impl SeqFile for TranslationView {
    fn show_chunk(&self, number: u64, domain: &mut u64, to: &mut Text<'_>) -> Option<u64> {
        let attached = self.0.domain()?;
        let token = Arc::as_ptr(&attached).cast::<()>() as u64;
        // Chunk 0 begins at address 0 and has the heading; chunk n begins at page n - 1.
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

/// Writes a leaf after the entries above it. There are at least three columns, whatever the leaf's
/// level.
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
