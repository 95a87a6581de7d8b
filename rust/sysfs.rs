// SPDX-License-Identifier: GPL-2.0

//! Attributes in sysfs: of an IOMMU device, and of a directory in `/sys/kernel`.
//!
//! C headers: `include/linux/device.h`, `include/linux/kobject.h`, `include/linux/sysfs.h`.

use crate::bindings;
use core::fmt::{self, Write};
use core::mem::{offset_of, MaybeUninit};
use core::ptr;
use kernel::ffi::c_char;
use kernel::prelude::*;
use kernel::sync::Arc;

const PAGE: usize = crate::pages::PAGE_SIZE;

/// The description of an attribute: its file, and the functions that read and write it.
pub struct Attribute<T> {
    /// File name.
    pub name: &'static CStr,
    /// Permission bits.
    pub mode: u16,
    /// Writes the text; process context.
    pub show: fn(&T, &mut dyn Write) -> fmt::Result,
    /// Handles the text that was written, without its line end; process context.
    pub store: Option<fn(&T, &str) -> Result>,
}

/// The C structure of an attribute, and the signatures of its functions. With control flow
/// integrity, both must be exactly those of C.
pub trait AttributeKind: Sealed + Sized + 'static {
    /// The C structure of an attribute, which begins with a `struct attribute`.
    #[doc(hidden)]
    type Raw;

    /// Fills in `raw` for `of`, with a lockdep key.
    ///
    /// # Safety
    ///
    /// `raw` must be memory for the structure. When the kernel calls its functions, it must be that
    /// of an [`Entry`] over `T`.
    #[doc(hidden)]
    unsafe fn init<T: Send + Sync + 'static>(raw: *mut Self::Raw, of: &'static Attribute<T>);
}

use sealed::Sealed;
mod sealed {
    /// Seals [`AttributeKind`](super::AttributeKind): each C structure has exactly one.
    pub trait Sealed {}
}

/// The kind of attributes of a device: `struct device_attribute`.
pub struct DeviceAttribute;

/// The kind of attributes of a directory: `struct kobj_attribute`.
pub struct OfKobject;

/// Implements [`AttributeKind`] for the structure `$raw`, whose functions are called with a
/// `$owner`.
macro_rules! kind {
    ($kind:ident, $owner:ident, $raw:ident, $init:ident) => {
        impl Sealed for $kind {}

        impl AttributeKind for $kind {
            type Raw = bindings::$raw;

            unsafe fn init<T: Send + Sync + 'static>(
                raw: *mut Self::Raw,
                of: &'static Attribute<T>,
            ) {
                type Store = unsafe extern "C" fn(
                    *mut bindings::$owner,
                    *mut bindings::$raw,
                    *const c_char,
                    usize,
                ) -> isize;
                // SAFETY: Memory for it by this function's contract; the name is static.
                unsafe {
                    bindings::$init(
                        raw,
                        of.name.as_char_ptr(),
                        of.mode,
                        Some(Self::show::<T>),
                        of.store.map(|_| Self::store::<T> as Store),
                    )
                }
            }
        }

        impl $kind {
            #[doc = concat!("Implements `", stringify!($raw), "::show`.")]
            ///
            /// # Safety
            ///
            /// Called by sysfs, in process context, with the `raw` of a live [`Entry`] over `T`,
            /// and a page to write to.
            unsafe extern "C" fn show<T: Send + Sync + 'static>(
                _of: *mut bindings::$owner,
                raw: *mut bindings::$raw,
                to: *mut c_char,
            ) -> isize {
                // SAFETY: By this function's contract.
                unsafe { Entry::<T, Self>::show(raw, to) }
            }

            #[doc = concat!("Implements `", stringify!($raw), "::store`.")]
            ///
            /// # Safety
            ///
            /// Called by sysfs, in process context, with the `raw` of a live [`Entry`] over `T`,
            /// and `count` bytes at `from`.
            unsafe extern "C" fn store<T: Send + Sync + 'static>(
                _of: *mut bindings::$owner,
                raw: *mut bindings::$raw,
                from: *const c_char,
                count: usize,
            ) -> isize {
                // SAFETY: By this function's contract.
                unsafe { Entry::<T, Self>::store(raw, from, count) }
            }
        }
    };
}

kind!(
    DeviceAttribute,
    device,
    device_attribute,
    vtd_helper_device_attr_init
);
kind!(
    OfKobject,
    kobject,
    kobj_attribute,
    vtd_helper_kobj_attr_init
);

/// One attribute: the C structure, its description and its object.
#[repr(C)]
struct Entry<T: 'static, K: AttributeKind> {
    raw: K::Raw,
    description: &'static Attribute<T>,
    target: *const T,
}

// The kernel gets the address of the first field of `raw`, and passes the address of `raw` back.
// Both must be the address of the entry.
const _: () = assert!(
    offset_of!(Entry<(), DeviceAttribute>, raw) == 0
        && offset_of!(Entry<(), OfKobject>, raw) == 0
        && offset_of!(bindings::device_attribute, attr) == 0
        && offset_of!(bindings::kobj_attribute, attr) == 0
);

impl<T: Send + Sync + 'static, K: AttributeKind> Entry<T, K> {
    /// Writes the text of an attribute, as the contract of the C `show` demands.
    ///
    /// # Safety
    ///
    /// `raw` must be that of a live entry, whose target lives; `to` must be a page.
    unsafe fn show(raw: *mut K::Raw, to: *mut c_char) -> isize {
        // SAFETY: By this function's contract; the structure is the entry's first field.
        let (entry, page) = unsafe {
            (
                &*raw.cast::<Self>(),
                core::slice::from_raw_parts_mut(to.cast::<u8>(), PAGE),
            )
        };
        let mut text = Text { page, len: 0 };
        // SAFETY: The target is alive by this function's contract.
        match (entry.description.show)(unsafe { &*entry.target }, &mut text) {
            Ok(()) => text.len as isize,
            // A text longer than a page ends with the last line that fits.
            Err(_) => text.whole_lines() as isize,
        }
    }

    /// Passes on what was written to an attribute, as the contract of the C `store` demands.
    ///
    /// # Safety
    ///
    /// `raw` must be that of a live entry, whose target lives; `from` must have `count` bytes.
    unsafe fn store(raw: *mut K::Raw, from: *const c_char, count: usize) -> isize {
        // SAFETY: By this function's contract; the structure is the entry's first field.
        let (entry, bytes) = unsafe {
            (
                &*raw.cast::<Self>(),
                core::slice::from_raw_parts(from.cast::<u8>(), count),
            )
        };
        let (Ok(text), Some(store)) = (core::str::from_utf8(bytes), entry.description.store) else {
            return EINVAL.to_errno() as isize;
        };
        // SAFETY: The target is alive by this function's contract.
        match store(unsafe { &*entry.target }, text.trim()) {
            Ok(()) => count as isize,
            Err(e) => e.to_errno() as isize,
        }
    }
}

/// A group of attributes over one object.
///
/// # Invariants
///
/// `entries` does not move or change after creation, `list` points into it and ends with null,
/// `group` points at `list`, `groups` at `group`; each `target` is held by `_target`.
pub struct AttributeGroup<T: 'static, K: AttributeKind = DeviceAttribute> {
    _entries: KVec<Entry<T, K>>,
    _list: KVec<*mut bindings::attribute>,
    group: KBox<bindings::attribute_group>,
    groups: KBox<[*const bindings::attribute_group; 2]>,
    _target: Arc<T>,
}

// SAFETY: Nothing in it changes after creation, and the target is shared by threads.
unsafe impl<T: Send + Sync, K: AttributeKind> Send for AttributeGroup<T, K> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync, K: AttributeKind> Sync for AttributeGroup<T, K> {}

impl<T: Send + Sync + 'static, K: AttributeKind> AttributeGroup<T, K> {
    /// Makes a group of `attributes` over `target`, in a directory `name` of its own if one is
    /// given.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub fn new(
        name: Option<&'static CStr>,
        attributes: &'static [Attribute<T>],
        target: Arc<T>,
    ) -> Result<Self> {
        let mut entries: KVec<Entry<T, K>> = KVec::with_capacity(attributes.len(), GFP_KERNEL)?;
        let mut list = KVec::with_capacity(attributes.len() + 1, GFP_KERNEL)?;
        for description in attributes {
            let entry = Entry {
                // SAFETY: Integers, and pointers and functions that may be null.
                raw: unsafe { MaybeUninit::<K::Raw>::zeroed().assume_init() },
                description,
                target: Arc::as_ptr(&target),
            };
            entries.push(entry, GFP_KERNEL)?;
        }
        for entry in entries.iter_mut() {
            // SAFETY: The structure of an entry that does not move any more, see below.
            unsafe { K::init(&raw mut entry.raw, entry.description) };
            list.push(
                (&raw mut entry.raw).cast::<bindings::attribute>(),
                GFP_KERNEL,
            )?;
        }
        list.push(ptr::null_mut(), GFP_KERNEL)?;
        let mut group = KBox::new(bindings::attribute_group::default(), GFP_KERNEL)?;
        group.name = name.map_or(ptr::null(), |n| n.as_char_ptr());
        group.__bindgen_anon_2.attrs = list.as_mut_ptr();
        let groups = KBox::new([&raw const *group, ptr::null()], GFP_KERNEL)?;
        // INVARIANT: Wired up above; moving the vectors and boxes moves no element.
        Ok(AttributeGroup {
            _entries: entries,
            _list: list,
            group,
            groups,
            _target: target,
        })
    }

    /// Returns a list of just this group, ended by null.
    pub(crate) fn as_list(&self) -> *mut *const bindings::attribute_group {
        self.groups.as_ptr().cast_mut()
    }
}

/// A page of text.
struct Text<'a> {
    page: &'a mut [u8],
    len: usize,
}

impl Text<'_> {
    /// Counts the bytes up to the end of the last line that is there as a whole.
    fn whole_lines(&self) -> usize {
        let text = self.page.get(..self.len).unwrap_or_default();
        let last = text.iter().rposition(|byte| *byte == b'\n');
        last.map_or(0, |last| last + 1)
    }
}

impl Write for Text<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let room = self.page.get_mut(self.len..).unwrap_or_default();
        let fits = s.len().min(room.len());
        for (to, from) in room.iter_mut().zip(s.bytes()) {
            *to = from;
        }
        self.len += fits;
        if fits == s.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

/// A directory below `/sys/kernel`; removed when dropped.
///
/// # Invariants
///
/// `kobject` is registered and carries `group`.
pub struct KernelDir<T: Send + Sync + 'static> {
    kobject: *mut bindings::kobject,
    group: AttributeGroup<T, OfKobject>,
}

// SAFETY: Only touched at creation and in `drop`; the group is shared by threads.
unsafe impl<T: Send + Sync> Send for KernelDir<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for KernelDir<T> {}

impl<T: Send + Sync + 'static> KernelDir<T> {
    /// Makes `/sys/kernel/<name>` with the attributes of `group`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails, or that of sysfs.
    ///
    /// # Context
    ///
    /// Process context.
    pub fn new(name: &'static CStr, group: AttributeGroup<T, OfKobject>) -> Result<Self> {
        // SAFETY: `kernel_kobj` exists from boot on; the name is copied.
        let kobject =
            unsafe { bindings::kobject_create_and_add(name.as_char_ptr(), bindings::kernel_kobj) };
        if kobject.is_null() {
            return Err(ENOMEM);
        }
        // INVARIANT: Registered above; the group follows.
        let dir = KernelDir { kobject, group };
        // SAFETY: The group outlives the directory's files, which `drop` removes.
        kernel::error::to_result(unsafe {
            bindings::sysfs_create_group(dir.kobject, &raw const *dir.group.group)
        })?;
        Ok(dir)
    }
}

impl<T: Send + Sync + 'static> Drop for KernelDir<T> {
    fn drop(&mut self) {
        // SAFETY: Registered by the type's invariants; removal waits for running callbacks.
        unsafe {
            bindings::kobject_del(self.kobject);
            bindings::kobject_put(self.kobject);
        }
    }
}
