// SPDX-License-Identifier: GPL-2.0

//! debugfs: directories that another module may have created, and files of any length.
//!
//! The kernel crate's debugfs creates new directories in the root only, and formats a file's text
//! in one call, again and again until its buffer is large enough. Here a directory may be found or
//! created anywhere, and a file is a [`SeqFile`], which writes one chunk of its text at a time.
//!
//! As usual for debugfs, creation failures are ignored: the file or directory is then missing.
//!
//! # Lifetime of a dentry
//!
//! The dentry that debugfs returns when it creates a directory or file is not a reference: it is
//! valid until the directory that contains it is removed, and a directory that was found belongs to
//! another module. So each entry is looked up right after its creation, which gives a reference.
//! Removing an entry that another module has already removed does nothing, and waits for the end of
//! that removal: both take the lock of the directory that contains it.
//!
//! C headers: `include/linux/debugfs.h`, `include/linux/seq_file.h`.

mod dir;
mod ffi;
mod file;

pub use dir::Dir;
pub use file::{File, SeqFile, Text, MAX_WRITE};
