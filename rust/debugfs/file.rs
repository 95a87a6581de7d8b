// SPDX-License-Identifier: GPL-2.0

//! Files in debugfs, whose text is written chunk by chunk.

use super::dir::{hold, Dir};
use super::ffi::{debugfs_create_file_full, debugfs_remove};
use crate::bindings;
use core::ffi::c_void;
use core::fmt::{self, Write};
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;

extern "C" {
    /// Our own `struct module`; only its address is used.
    static __this_module: Opaque<u8>;
}

/// A file over a [`SeqFile`]; removed when dropped.
///
/// # Invariants
///
/// `dentry` is null, or that of a file that was made in `_dir` with `_source` as its data, with
/// one reference. Where it is null, no such file is there.
pub struct File<T: SeqFile> {
    dentry: *mut bindings::dentry,
    _source: Arc<T>,
    _dir: Arc<Dir>,
}

impl<T: SeqFile> File<T> {
    /// Creates the file `name` in `dir`. Root can read it, and write to it if it is
    /// [writable](SeqFile::WRITABLE).
    ///
    /// # Context
    ///
    /// Process context.
    pub fn new(name: &CStr, dir: Arc<Dir>, source: Arc<T>) -> Self {
        let dentry = if dir.dentry.is_null() {
            ptr::null_mut()
        } else {
            // SAFETY: A directory by the type's invariants; the operations suit the data, which
            // lives as long as the file.
            unsafe {
                let made = debugfs_create_file_full(
                    name.as_char_ptr(),
                    if T::WRITABLE { 0o600 } else { 0o400 },
                    dir.dentry,
                    Arc::as_ptr(&source).cast_mut().cast(),
                    ptr::null(),
                    &Operations::<T>::FILE,
                );
                hold(made, name, dir.dentry)
            }
        };
        // INVARIANT: Made here, or null.
        File {
            dentry,
            _source: source,
            _dir: dir,
        }
    }
}

// SAFETY: debugfs locks what it does to a dentry; the source is shared by threads.
unsafe impl<T: SeqFile> Send for File<T> {}
// SAFETY: As above.
unsafe impl<T: SeqFile> Sync for File<T> {}

impl<T: SeqFile> Drop for File<T> {
    fn drop(&mut self) {
        // SAFETY: By the type's invariants, and null is allowed. The removal waits for readers, and
        // later opens fail, before the source is dropped.
        unsafe {
            debugfs_remove(self.dentry);
            bindings::dput(self.dentry);
        }
    }
}

/// A file whose text is written in chunks.
///
/// A chunk has a number, which is the file position of its beginning: the first one is 0, and each
/// further one is greater than the one before and below 2^62. Chunks of up to 4 KiB are cheapest.
pub trait SeqFile: Send + Sync + 'static {
    /// Whether the file can be written to.
    const WRITABLE: bool = false;

    /// Handles what is written to the file in one call, of up to [`MAX_WRITE`] bytes.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if the text is not valid; nothing has changed then.
    ///
    /// # Context
    ///
    /// May sleep.
    fn write(&self, _text: &str) -> Result {
        Err(EINVAL)
    }

    /// Writes the chunk `number` to `to` and returns the number of the next one, if there is one.
    /// May be called again for the same chunk.
    ///
    /// `state` is kept between the chunks of one open file. It is 0 at the first chunk, also after
    /// the reader has seeked back to it.
    ///
    /// # Context
    ///
    /// May sleep.
    fn show_chunk(&self, number: u64, state: &mut u64, to: &mut Text<'_>) -> Option<u64>;
}

/// The writer for the text of a chunk.
pub struct Text<'a> {
    seq: *mut bindings::seq_file,
    _reading: PhantomData<&'a mut ()>,
}

impl Write for Text<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        // SAFETY: The file is being shown while this exists. If the text does not fit, the seq_file
        // records that, and calls again for the chunk with a larger buffer.
        unsafe { bindings::seq_write(self.seq, s.as_ptr().cast(), s.len()) };
        Ok(())
    }
}

/// The maximum number of bytes of one write to a file; a longer one fails with [`EINVAL`].
pub const MAX_WRITE: usize = 64;

/// Greater than the number of any chunk.
const END: u64 = 1 << 62;

/// The private data of one open file.
///
/// # Invariants
///
/// `source` does not change once the file is open, and lives while the file's operations are
/// called. The other fields belong to the holder of the lock of the `seq_file`; a write does not.
#[repr(C)]
struct Reading<T> {
    source: *const T,
    next: u64,
    state: u64,
}

/// The operation tables of files over `T`.
struct Operations<T>(PhantomData<T>);

impl<T: SeqFile> Operations<T> {
    const FILE: bindings::file_operations = bindings::file_operations {
        owner: (&raw const __this_module).cast_mut().cast(),
        open: Some(Self::open),
        read: Some(bindings::seq_read),
        write: if T::WRITABLE { Some(Self::write) } else { None },
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::seq_release_private),
        // SAFETY: Null pointers and absent functions are valid.
        ..unsafe { MaybeUninit::zeroed().assume_init() }
    };

    const SEQ: bindings::seq_operations = bindings::seq_operations {
        start: Some(Self::start),
        stop: Some(Self::stop),
        next: Some(Self::next),
        show: Some(Self::show),
    };

    /// Implements `file_operations::open`.
    ///
    /// # Safety
    ///
    /// Called by debugfs, while the file is there, with the file that is opened and its inode,
    /// whose data is the source that the file was made with.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> i32 {
        let size = size_of::<Reading<T>>() as i32;
        // SAFETY: The kernel passes the file being opened and its inode, whose data is what the
        // file was made with; the reading is zeroed memory of its size.
        unsafe {
            let reading = bindings::__seq_open_private(file, &Self::SEQ, size);
            if reading.is_null() {
                return ENOMEM.to_errno();
            }
            // INVARIANT: debugfs calls operations only while the file is there.
            (*reading.cast::<Reading<T>>()).source = (*inode).i_private.cast();
        }
        0
    }

    /// Implements `file_operations::write`. The position stays where it is: what is written does
    /// not belong to the text.
    ///
    /// # Safety
    ///
    /// Called by debugfs, while the file is there, with a file that [`Self::open`] opened; `from`
    /// is an address of user space, which may be any. The lock of the `seq_file` is not held.
    unsafe extern "C" fn write(
        file: *mut bindings::file,
        from: *const kernel::ffi::c_char,
        count: usize,
        _pos: *mut i64,
    ) -> isize {
        let mut bytes = [0u8; MAX_WRITE];
        let Some(room) = bytes.get_mut(..count) else {
            return EINVAL.to_errno() as isize;
        };
        // SAFETY: Room for `count` bytes; the call checks the user's address, and returns how many
        // bytes it copied, or an error.
        let copied = unsafe {
            bindings::simple_write_to_buffer(
                room.as_mut_ptr().cast(),
                count,
                &mut 0,
                from.cast(),
                count,
            )
        };
        if copied < 0 {
            return copied;
        }
        let Some(Ok(text)) = room.get(..copied as usize).map(core::str::from_utf8) else {
            return EINVAL.to_errno() as isize;
        };
        // SAFETY: The kernel passes the file that `open` opened, whose source is alive by the
        // type's invariants.
        let source = unsafe {
            let seq = (*file).private_data.cast::<bindings::seq_file>();
            // No reference to the reading: another thread may be in a `show` of it.
            &*(&raw const (*(*seq).private.cast::<Reading<T>>()).source).read()
        };
        match source.write(text) {
            Ok(()) => copied,
            Err(e) => e.to_errno() as isize,
        }
    }

    /// Implements `seq_operations::start`.
    ///
    /// # Safety
    ///
    /// Called by the seq_file of a file that [`Self::open`] opened, with its lock held and a valid
    /// position.
    unsafe extern "C" fn start(seq: *mut bindings::seq_file, pos: *mut i64) -> *mut c_void {
        // SAFETY: The kernel passes the file that `open` opened, with its lock held.
        unsafe {
            if *pos as u64 >= END {
                return ptr::null_mut();
            }
            if *pos == 0 {
                (&raw mut (*(*seq).private.cast::<Reading<T>>()).state).write(0);
            }
            (*seq).private
        }
    }

    /// Implements `seq_operations::next`.
    ///
    /// # Safety
    ///
    /// As for [`Self::start`], after [`Self::show`].
    unsafe extern "C" fn next(
        seq: *mut bindings::seq_file,
        _chunk: *mut c_void,
        pos: *mut i64,
    ) -> *mut c_void {
        // SAFETY: The kernel passes the file that `open` opened, with its lock held; `show` has set
        // `next`.
        unsafe {
            *pos = (&raw const (*(*seq).private.cast::<Reading<T>>()).next).read() as i64;
            Self::start(seq, pos)
        }
    }

    /// Implements `seq_operations::show`.
    ///
    /// # Safety
    ///
    /// As for [`Self::start`], with what that or [`Self::next`] returned.
    unsafe extern "C" fn show(seq: *mut bindings::seq_file, chunk: *mut c_void) -> i32 {
        let reading = chunk.cast::<Reading<T>>();
        let mut to = Text {
            seq,
            _reading: PhantomData,
        };
        // SAFETY: The kernel passes the file that `open` opened, with its lock held, and what
        // `start` or `next` has returned. The source is alive by the type's invariants, and so are
        // the fields ours; the one that a write reads is not borrowed mutably.
        let (number, source, state) = unsafe {
            (
                (*seq).index as u64,
                &*(*reading).source,
                &mut (*reading).state,
            )
        };
        let next = source
            .show_chunk(number, state, &mut to)
            .filter(|next| (number + 1..END).contains(next))
            .unwrap_or(END);
        // SAFETY: As above.
        unsafe { (&raw mut (*reading).next).write(next) };
        0
    }

    /// Implements `seq_operations::stop`.
    ///
    /// # Safety
    ///
    /// None: the arguments are ignored.
    unsafe extern "C" fn stop(_seq: *mut bindings::seq_file, _chunk: *mut c_void) {}
}
