// SPDX-License-Identifier: GPL-2.0

//! debugfs: directories that someone else may have made, and files of any length.
//!
//! The kernel crate's debugfs makes directories of its own at the root only, and prints a file's text
//! in one go, again and again until a buffer is large enough. Here a directory may be found or made
//! anywhere, and a file is a [`SeqFile`], asked for one chunk of its text at a time.
//!
//! As usual for debugfs, creation failures are ignored: what cannot be made is not there.
//!
//! # What a dentry is
//!
//! What debugfs returns of a directory or file that it made is no reference: it lives until the
//! directory that it is in is removed, and a directory that was found belongs to another module. So
//! each is looked up right after it was made, which gives a reference. Removing what another module
//! has removed already does nothing, and waits for that removal to end: both take the lock of the
//! directory around it.
//!
//! C headers: `include/linux/debugfs.h`, `include/linux/seq_file.h`.

mod dir;
mod ffi;
mod file;

pub use dir::Dir;
pub use file::{File, SeqFile, Text, MAX_WRITE};
