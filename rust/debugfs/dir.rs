// SPDX-License-Identifier: GPL-2.0

//! Directories in debugfs, and references to dentries.

use super::ffi::{debugfs_create_dir, debugfs_lookup, debugfs_remove};
use crate::bindings;
use core::ptr;
use kernel::prelude::*;
use kernel::sync::Arc;

/// A directory. When this is dropped, a directory that was created is removed with its content, and
/// one that was found stays.
///
/// # Invariants
///
/// `dentry` is null, or that of a directory, with one reference. It is in `_parent`, or at the
/// root, and is removed with this if `made`.
pub struct Dir {
    pub(super) dentry: *mut bindings::dentry,
    made: bool,
    _parent: Option<Arc<Dir>>,
}

// SAFETY: debugfs locks what it does to a dentry.
unsafe impl Send for Dir {}
// SAFETY: As above.
unsafe impl Sync for Dir {}

/// Looks up `name` in `dir`, or in the root of debugfs if `dir` is null. Returns it with a
/// reference, or null.
///
/// # Safety
///
/// `dir` must be null or a directory of debugfs, held by a reference.
pub(super) unsafe fn find(name: &CStr, dir: *mut bindings::dentry) -> *mut bindings::dentry {
    // SAFETY: By this function's contract; the name is only read.
    unsafe { debugfs_lookup(name.as_char_ptr(), dir) }
}

/// Takes a reference to the entry that debugfs just created as `name` in `dir`. Returns null if the
/// creation failed, or if the entry was removed since.
///
/// # Safety
///
/// As for [`find`].
pub(super) unsafe fn hold(
    made: *mut bindings::dentry,
    name: &CStr,
    dir: *mut bindings::dentry,
) -> *mut bindings::dentry {
    // SAFETY: By this function's contract.
    let found = unsafe { find(name, dir) };
    if found.is_null() || found == made {
        return found;
    }
    // SAFETY: The reference was taken just now; another module's entry has the name.
    unsafe { bindings::dput(found) };
    ptr::null_mut()
}

impl Dir {
    /// Finds or creates the directory `name` in `parent`, or in the root of debugfs.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] without memory for this handle.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn new(name: &CStr, parent: Option<Arc<Dir>>) -> Result<Arc<Self>> {
        let within = parent
            .as_ref()
            .map_or(ptr::null_mut(), |parent| parent.dentry);
        // INVARIANT: Nothing where the parent is nothing; else found with a reference, or made.
        let mut dir = Dir {
            dentry: ptr::null_mut(),
            made: false,
            _parent: parent,
        };
        if dir._parent.is_none() || !within.is_null() {
            // SAFETY: `within` is a directory by the type's invariants, or null for the root; the
            // name is copied.
            unsafe {
                dir.dentry = find(name, within);
                if dir.dentry.is_null() {
                    dir.made = true;
                    let made = debugfs_create_dir(name.as_char_ptr(), within);
                    dir.dentry = hold(made, name, within);
                }
            }
        }
        Ok(Arc::new(dir, GFP_KERNEL)?)
    }

    /// Returns whether the directory existed before.
    pub fn already_existed(&self) -> bool {
        !self.dentry.is_null() && !self.made
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // SAFETY: By the type's invariants, and null is allowed.
        unsafe {
            if self.made {
                debugfs_remove(self.dentry);
            }
            bindings::dput(self.dentry);
        }
    }
}
