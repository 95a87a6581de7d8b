// SPDX-License-Identifier: GPL-2.0

//! Attributes in sysfs: of an IOMMU device, and of a folder of our own below `/sys/kernel`.

use crate::bindings;
use core::ffi::{c_char, c_void};
use core::fmt::{self, Write};
use core::ptr;
use kernel::prelude::*;
use kernel::sync::Arc;

const PAGE: usize = crate::pages::PAGE_SIZE;

/// What an attribute shows, and what it does with what is written to it.
pub struct Attribute<T> {
    /// File name.
    pub name: &'static CStr,
    /// Permission bits.
    pub mode: u16,
    /// Writes the text; process context.
    pub show: fn(&T, &mut dyn Write) -> fmt::Result,
    /// Takes the text that was written, without its line end; process context.
    pub store: Option<fn(&T, &str) -> Result>,
}

type Store<T> = unsafe extern "C" fn(*mut c_void, *mut Raw<T>, *const c_char, usize) -> isize;

/// The first fields of both `struct device_attribute` and `struct kobj_attribute`, which the
/// kernel calls in the same way.
#[repr(C)]
struct Raw<T: 'static> {
    attr: bindings::attribute,
    show: Option<unsafe extern "C" fn(*mut c_void, *mut Raw<T>, *mut c_char) -> isize>,
    store: Option<Store<T>>,
    description: &'static Attribute<T>,
    target: *const T,
}

/// A group of attributes over one object.
///
/// # Invariants
///
/// `raw` does not move or change after creation, `list` points into it and ends with null, `group`
/// points at `list`, `groups` at `group`; each `target` is held by `_target`.
pub struct Group<T: 'static> {
    _raw: KVec<Raw<T>>,
    _list: KVec<*mut bindings::attribute>,
    group: KBox<bindings::attribute_group>,
    groups: KBox<[*const bindings::attribute_group; 2]>,
    _target: Arc<T>,
}

// SAFETY: Nothing in it changes after creation, and the target is shared by threads.
unsafe impl<T: Send + Sync> Send for Group<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for Group<T> {}

impl<T: Send + Sync + 'static> Group<T> {
    /// A group of `attributes` over `target`, in a folder `name` of its own if one is given.
    pub fn new(
        name: Option<&'static CStr>,
        attributes: &'static [Attribute<T>],
        target: Arc<T>,
    ) -> Result<Self> {
        let mut raw = KVec::with_capacity(attributes.len(), GFP_KERNEL)?;
        let mut list = KVec::with_capacity(attributes.len() + 1, GFP_KERNEL)?;
        for description in attributes {
            #[allow(clippy::needless_update)]
            raw.push(
                Raw {
                    attr: bindings::attribute {
                        name: description.name.as_char_ptr(),
                        mode: description.mode,
                        // Lock debugging adds fields.
                        ..Default::default()
                    },
                    show: Some(Self::show),
                    store: description.store.map(|_| Self::store as Store<T>),
                    description,
                    target: Arc::as_ptr(&target),
                },
                GFP_KERNEL,
            )?;
        }
        for attribute in raw.iter_mut() {
            // SAFETY: An attribute about to be registered; lock debugging wants a key in it.
            unsafe { bindings::vtd_helper_sysfs_attr_init(&raw mut attribute.attr) };
            list.push(&raw mut attribute.attr, GFP_KERNEL)?;
        }
        list.push(ptr::null_mut(), GFP_KERNEL)?;
        let mut group = KBox::new(bindings::attribute_group::default(), GFP_KERNEL)?;
        group.name = name.map_or(ptr::null(), |n| n.as_char_ptr());
        group.__bindgen_anon_2.attrs = list.as_mut_ptr();
        let groups = KBox::new([&raw const *group, ptr::null()], GFP_KERNEL)?;
        // INVARIANT: Wired up above; moving the vectors and boxes moves no element.
        Ok(Group {
            _raw: raw,
            _list: list,
            group,
            groups,
            _target: target,
        })
    }

    /// A list of just this group, ended by null.
    pub(crate) fn as_list(&self) -> *mut *const bindings::attribute_group {
        self.groups.as_ptr().cast_mut()
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn show(_of: *mut c_void, raw: *mut Raw<T>, to: *mut c_char) -> isize {
        // SAFETY: The kernel passes the attribute it was given, and a page to write to.
        let (raw, page) = unsafe {
            (
                &*raw,
                core::slice::from_raw_parts_mut(to.cast::<u8>(), PAGE),
            )
        };
        let mut text = Text { page, len: 0 };
        // SAFETY: The target is alive by the type's invariants.
        match (raw.description.show)(unsafe { &*raw.target }, &mut text) {
            Ok(()) => text.len as isize,
            // A text longer than a page ends with the last line that fits.
            Err(_) => text.whole_lines() as isize,
        }
    }

    /// # Safety
    ///
    /// For the kernel only, which calls it through the table that it stands in.
    unsafe extern "C" fn store(
        _of: *mut c_void,
        raw: *mut Raw<T>,
        from: *const c_char,
        count: usize,
    ) -> isize {
        // SAFETY: The kernel passes the attribute it was given, and `count` bytes.
        let (raw, bytes) =
            unsafe { (&*raw, core::slice::from_raw_parts(from.cast::<u8>(), count)) };
        let (Ok(text), Some(store)) = (core::str::from_utf8(bytes), raw.description.store) else {
            return EINVAL.to_errno() as isize;
        };
        // SAFETY: The target is alive by the type's invariants.
        match store(unsafe { &*raw.target }, text.trim()) {
            Ok(()) => count as isize,
            Err(e) => e.to_errno() as isize,
        }
    }
}

/// A page of text.
struct Text<'a> {
    page: &'a mut [u8],
    len: usize,
}

impl Text<'_> {
    /// Bytes up to the end of the last line that is there as a whole.
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

/// A folder below `/sys/kernel`; gone when dropped.
///
/// # Invariants
///
/// `kobject` is registered and carries `group`.
pub struct KernelFolder<T: Send + Sync + 'static> {
    kobject: *mut bindings::kobject,
    group: Group<T>,
}

// SAFETY: Only touched at creation and in `drop`; the group is shared by threads.
unsafe impl<T: Send + Sync> Send for KernelFolder<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for KernelFolder<T> {}

impl<T: Send + Sync + 'static> KernelFolder<T> {
    /// Makes `/sys/kernel/<name>` with the attributes of `group`. Process context.
    pub fn new(name: &'static CStr, group: Group<T>) -> Result<Self> {
        // SAFETY: `kernel_kobj` exists from boot on; the name is copied.
        let kobject =
            unsafe { bindings::kobject_create_and_add(name.as_char_ptr(), bindings::kernel_kobj) };
        if kobject.is_null() {
            return Err(ENOMEM);
        }
        // INVARIANT: Registered above; the group follows.
        let folder = KernelFolder { kobject, group };
        // SAFETY: The group outlives the folder's files, which `drop` removes.
        kernel::error::to_result(unsafe {
            bindings::sysfs_create_group(folder.kobject, &raw const *folder.group.group)
        })?;
        Ok(folder)
    }
}

impl<T: Send + Sync + 'static> Drop for KernelFolder<T> {
    fn drop(&mut self) {
        // SAFETY: Registered by the type's invariants; removal waits for running callbacks.
        unsafe {
            bindings::kobject_del(self.kobject);
            bindings::kobject_put(self.kobject);
        }
    }
}
