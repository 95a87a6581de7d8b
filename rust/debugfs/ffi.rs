// SPDX-License-Identifier: GPL-2.0

//! The functions of debugfs; in a kernel without debugfs, functions that do nothing.

#[cfg(CONFIG_DEBUG_FS)]
pub(super) use crate::bindings::{
    debugfs_create_dir, debugfs_create_file_full, debugfs_lookup, debugfs_remove,
};
#[cfg(not(CONFIG_DEBUG_FS))]
pub(super) use absent::{
    debugfs_create_dir, debugfs_create_file_full, debugfs_lookup, debugfs_remove,
};

#[cfg(not(CONFIG_DEBUG_FS))]
mod absent {
    use crate::bindings;
    use core::ffi::c_void;
    use core::ptr;
    use kernel::ffi::c_char;

    /// Finds nothing, because the kernel has no debugfs.
    ///
    /// # Safety
    ///
    /// None: any arguments are ignored.
    pub(in crate::debugfs) unsafe fn debugfs_lookup(
        _: *const c_char,
        _: *mut bindings::dentry,
    ) -> *mut bindings::dentry {
        ptr::null_mut()
    }

    /// Creates nothing, because the kernel has no debugfs.
    ///
    /// # Safety
    ///
    /// None: any arguments are ignored.
    pub(in crate::debugfs) unsafe fn debugfs_create_dir(
        _: *const c_char,
        _: *mut bindings::dentry,
    ) -> *mut bindings::dentry {
        ptr::null_mut()
    }

    /// Creates nothing, because the kernel has no debugfs.
    ///
    /// # Safety
    ///
    /// None: any arguments are ignored.
    pub(in crate::debugfs) unsafe fn debugfs_create_file_full(
        _: *const c_char,
        _: u16,
        _: *mut bindings::dentry,
        _: *mut c_void,
        _: *const c_void,
        _: *const bindings::file_operations,
    ) -> *mut bindings::dentry {
        ptr::null_mut()
    }

    /// Removes nothing, because the kernel has no debugfs.
    ///
    /// # Safety
    ///
    /// None: any arguments are ignored.
    pub(in crate::debugfs) unsafe fn debugfs_remove(_: *mut bindings::dentry) {}
}
