// SPDX-License-Identifier: GPL-2.0

//! debugfs: folders that someone else may have made, and files of any length.
//!
//! The kernel crate's debugfs makes folders of its own at the root only, and prints a file's text
//! in one go, again and again until a buffer is large enough. Here a folder may be found or made
//! anywhere, and a file is a [`Listing`], asked for one part of its text at a time.
//!
//! As debugfs is made for: what cannot be made is not there, and nobody is told.
//!
//! # What a dentry is
//!
//! What debugfs returns of a folder or file that it made is no reference: it lives until the folder
//! that it is in is removed, and a folder that was found is somebody else's. So each is looked up
//! right after it was made, which gives a reference. Removing what somebody else has removed already
//! does nothing, and waits for that removal to end: both take the lock of the folder around it.
//!
//! C header: `include/linux/debugfs.h`.

use crate::bindings;
use core::ffi::c_void;
use core::fmt::{self, Write};
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::types::Opaque;

#[cfg(CONFIG_DEBUG_FS)]
use bindings::{debugfs_create_dir, debugfs_create_file_full, debugfs_lookup, debugfs_remove};

/// A kernel without debugfs: nothing is there.
#[cfg(not(CONFIG_DEBUG_FS))]
mod absent {
    use super::*;
    use kernel::ffi::c_char;

    pub(super) unsafe fn debugfs_lookup(
        _: *const c_char,
        _: *mut bindings::dentry,
    ) -> *mut bindings::dentry {
        ptr::null_mut()
    }

    pub(super) unsafe fn debugfs_create_dir(
        _: *const c_char,
        _: *mut bindings::dentry,
    ) -> *mut bindings::dentry {
        ptr::null_mut()
    }

    pub(super) unsafe fn debugfs_create_file_full(
        _: *const c_char,
        _: u16,
        _: *mut bindings::dentry,
        _: *mut c_void,
        _: *const c_void,
        _: *const bindings::file_operations,
    ) -> *mut bindings::dentry {
        ptr::null_mut()
    }

    pub(super) unsafe fn debugfs_remove(_: *mut bindings::dentry) {}
}
#[cfg(not(CONFIG_DEBUG_FS))]
use absent::{debugfs_create_dir, debugfs_create_file_full, debugfs_lookup, debugfs_remove};

extern "C" {
    /// Our own `struct module`; only its address is used.
    static __this_module: Opaque<u8>;
}

/// A folder. One that was made goes with all that is in it when this does; one that was found
/// stays.
///
/// # Invariants
///
/// `dentry` is null, or that of a folder, with one reference. It is in `_parent`, or at the root, and
/// goes with this if `made`.
pub struct Folder {
    dentry: *mut bindings::dentry,
    made: bool,
    _parent: Option<Arc<Folder>>,
}

// SAFETY: debugfs locks what it does to a dentry.
unsafe impl Send for Folder {}
// SAFETY: As above.
unsafe impl Sync for Folder {}

/// Looks for `name` in `folder`, at the root of debugfs if that is null. With a reference, or null.
///
/// # Safety
///
/// `folder` must be null or a folder of debugfs, held by a reference.
unsafe fn find(name: &CStr, folder: *mut bindings::dentry) -> *mut bindings::dentry {
    // SAFETY: By this function's contract; the name is only read.
    unsafe { debugfs_lookup(name.as_char_ptr(), folder) }
}

/// A reference to what debugfs has just made as `name` in `folder`; null if it made nothing, or that
/// has been removed since.
///
/// # Safety
///
/// As for [`find`].
unsafe fn hold(
    made: *mut bindings::dentry,
    name: &CStr,
    folder: *mut bindings::dentry,
) -> *mut bindings::dentry {
    // SAFETY: By this function's contract.
    let found = unsafe { find(name, folder) };
    if found.is_null() || found == made {
        return found;
    }
    // SAFETY: The reference was taken just now; somebody else's has the name.
    unsafe { bindings::dput(found) };
    ptr::null_mut()
}

impl Folder {
    /// The folder `name` in `parent`, else at the root of debugfs; found or made. Process context.
    ///
    /// [`ENOMEM`] without memory for this handle.
    pub fn new(name: &CStr, parent: Option<Arc<Folder>>) -> Result<Arc<Self>> {
        let within = parent
            .as_ref()
            .map_or(ptr::null_mut(), |parent| parent.dentry);
        // INVARIANT: Nothing where the parent is nothing; else found with a reference, or made.
        let mut folder = Folder {
            dentry: ptr::null_mut(),
            made: false,
            _parent: parent,
        };
        if folder._parent.is_none() || !within.is_null() {
            // SAFETY: `within` is a folder by the type's invariants, or null, which stands for the
            // root; the name is copied.
            unsafe {
                folder.dentry = find(name, within);
                if folder.dentry.is_null() {
                    folder.made = true;
                    let made = debugfs_create_dir(name.as_char_ptr(), within);
                    folder.dentry = hold(made, name, within);
                }
            }
        }
        Ok(Arc::new(folder, GFP_KERNEL)?)
    }
}

impl Folder {
    /// Whether it was there before.
    pub fn was_found(&self) -> bool {
        !self.dentry.is_null() && !self.made
    }
}

impl Drop for Folder {
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

/// A file over a listing; gone when dropped.
///
/// # Invariants
///
/// `dentry` is null, or that of a file that was made in `_folder` with `_listing` as its data, with
/// one reference. Where it is null, no such file is there.
pub struct File<T: Listing> {
    dentry: *mut bindings::dentry,
    _listing: Arc<T>,
    _folder: Arc<Folder>,
}

impl<T: Listing> File<T> {
    /// Makes the file `name` in `folder`, for root to read, and to write to if it
    /// [takes](Listing::TAKES) anything. Process context.
    pub fn new(name: &CStr, folder: Arc<Folder>, listing: Arc<T>) -> Self {
        let dentry = if folder.dentry.is_null() {
            ptr::null_mut()
        } else {
            // SAFETY: A folder by the type's invariants; the operations suit the data, which lives
            // as long as the file.
            unsafe {
                let made = debugfs_create_file_full(
                    name.as_char_ptr(),
                    if T::TAKES { 0o600 } else { 0o400 },
                    folder.dentry,
                    Arc::as_ptr(&listing).cast_mut().cast(),
                    ptr::null(),
                    &Operations::<T>::FILE,
                );
                hold(made, name, folder.dentry)
            }
        };
        // INVARIANT: Made here, or null.
        File {
            dentry,
            _listing: listing,
            _folder: folder,
        }
    }
}

// SAFETY: debugfs locks what it does to a dentry; the listing is shared by threads.
unsafe impl<T: Listing> Send for File<T> {}
// SAFETY: As above.
unsafe impl<T: Listing> Sync for File<T> {}

impl<T: Listing> Drop for File<T> {
    fn drop(&mut self) {
        // SAFETY: By the type's invariants, and null is allowed. Waits for readers, who find the
        // file gone afterwards, before the listing goes.
        unsafe {
            debugfs_remove(self.dentry);
            bindings::dput(self.dentry);
        }
    }
}

/// A text that is made in parts.
///
/// A part has a number, which says where it begins: the first one is 0, each further one greater
/// than the one before, below 2^62. Parts of up to 4 KiB are cheapest.
pub trait Listing: Send + Sync + 'static {
    /// Whether something can be written to the file.
    const TAKES: bool = false;

    /// Takes what is written to the file in one call, of up to [`MOST_WRITTEN`] bytes. May sleep.
    ///
    /// [`EINVAL`] for what it cannot make sense of; nothing has changed then.
    fn take(&self, _text: &str) -> Result {
        Err(EINVAL)
    }

    /// Writes the part `number` and returns the number of the next one, if there is one. May
    /// sleep. The same part may be asked for again.
    ///
    /// `note` is kept between the parts of one reading; 0 for the first part, and for that again
    /// where a reader goes back.
    fn part(&self, number: u64, note: &mut u64, to: &mut Text<'_>) -> Option<u64>;
}

/// Takes the text of a part.
pub struct Text<'a> {
    seq: *mut bindings::seq_file,
    _reading: PhantomData<&'a mut ()>,
}

impl Write for Text<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        // SAFETY: The file is being shown while this exists. What does not fit is noted by the
        // file, which then asks for the part again with more room.
        unsafe { bindings::seq_write(self.seq, s.as_ptr().cast(), s.len()) };
        Ok(())
    }
}

/// What can be written to a file at once; more is [`EINVAL`].
pub const MOST_WRITTEN: usize = 64;

/// Greater than the number of any part.
const END: u64 = 1 << 62;

/// One reading of a file.
///
/// # Invariants
///
/// `listing` does not change once the file is open, and lives while the file's operations are called.
/// The other fields belong to whoever holds the lock of the `seq_file`; a write does not.
#[repr(C)]
struct Reading<T> {
    listing: *const T,
    next: u64,
    note: u64,
}

/// The operation tables of files over `T`.
struct Operations<T>(PhantomData<T>);

impl<T: Listing> Operations<T> {
    const FILE: bindings::file_operations = bindings::file_operations {
        owner: (&raw const __this_module).cast_mut().cast(),
        open: Some(Self::open),
        read: Some(bindings::seq_read),
        write: if T::TAKES { Some(Self::write) } else { None },
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::seq_release_private),
        // SAFETY: Null pointers and absent functions are valid.
        ..unsafe { MaybeUninit::zeroed().assume_init() }
    };

    const PARTS: bindings::seq_operations = bindings::seq_operations {
        start: Some(Self::start),
        stop: Some(Self::stop),
        next: Some(Self::next),
        show: Some(Self::show),
    };

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> i32 {
        let size = size_of::<Reading<T>>() as i32;
        // SAFETY: The kernel passes the file being opened and its inode, whose data is what the
        // file was made with; the reading is zeroed memory of its size.
        unsafe {
            let reading = bindings::__seq_open_private(file, &Self::PARTS, size);
            if reading.is_null() {
                return ENOMEM.to_errno();
            }
            // INVARIANT: debugfs calls operations only while the file is there.
            (*reading.cast::<Reading<T>>()).listing = (*inode).i_private.cast();
        }
        0
    }

    /// The position stays where it is: what is written does not belong to the text.
    ///
    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn write(
        file: *mut bindings::file,
        from: *const kernel::ffi::c_char,
        count: usize,
        _pos: *mut i64,
    ) -> isize {
        let mut bytes = [0u8; MOST_WRITTEN];
        let Some(room) = bytes.get_mut(..count) else {
            return EINVAL.to_errno() as isize;
        };
        // SAFETY: Room for `count` bytes; the call checks the user's address, and copies all of
        // them or fails, or tells that there were fewer.
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
        // SAFETY: The kernel passes the file that `open` opened, whose listing is alive by the
        // type's invariants.
        let listing = unsafe {
            let seq = (*file).private_data.cast::<bindings::seq_file>();
            // No reference to the reading: another thread may be in a `show` of it.
            &*(&raw const (*(*seq).private.cast::<Reading<T>>()).listing).read()
        };
        match listing.take(text) {
            Ok(()) => copied,
            Err(e) => e.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn start(seq: *mut bindings::seq_file, pos: *mut i64) -> *mut c_void {
        // SAFETY: The kernel passes the file that `open` opened, with its lock held.
        unsafe {
            if *pos as u64 >= END {
                return ptr::null_mut();
            }
            if *pos == 0 {
                (&raw mut (*(*seq).private.cast::<Reading<T>>()).note).write(0);
            }
            (*seq).private
        }
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn next(
        seq: *mut bindings::seq_file,
        _part: *mut c_void,
        pos: *mut i64,
    ) -> *mut c_void {
        // SAFETY: The kernel passes the file that `open` opened, with its lock held; `show` has set
        // `next`.
        unsafe {
            *pos = (&raw const (*(*seq).private.cast::<Reading<T>>()).next).read() as i64;
            Self::start(seq, pos)
        }
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn show(seq: *mut bindings::seq_file, part: *mut c_void) -> i32 {
        let reading = part.cast::<Reading<T>>();
        let mut to = Text {
            seq,
            _reading: PhantomData,
        };
        // SAFETY: The kernel passes the file that `open` opened, with its lock held, and what `start`
        // or `next` has returned. The listing is alive by the type's invariants, and so are the
        // fields ours; the one that a write reads is not borrowed mutably.
        let (number, listing, note) = unsafe {
            (
                (*seq).index as u64,
                &*(*reading).listing,
                &mut (*reading).note,
            )
        };
        let next = listing
            .part(number, note, &mut to)
            .filter(|next| (number + 1..END).contains(next))
            .unwrap_or(END);
        // SAFETY: As above.
        unsafe { (&raw mut (*reading).next).write(next) };
        0
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn stop(_seq: *mut bindings::seq_file, _part: *mut c_void) {}
}
