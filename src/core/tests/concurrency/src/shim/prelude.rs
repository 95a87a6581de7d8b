// SPDX-License-Identifier: GPL-2.0

//! The part of the kernel's prelude that the driver's files use.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Error(&'static str);

pub(crate) const EBUSY: Error = Error("EBUSY");
pub(crate) const EINVAL: Error = Error("EINVAL");
pub(crate) const EIO: Error = Error("EIO");
pub(crate) const ENODEV: Error = Error("ENODEV");
pub(crate) const ENOMEM: Error = Error("ENOMEM");
pub(crate) const ENOSPC: Error = Error("ENOSPC");
pub(crate) const EPERM: Error = Error("EPERM");
pub(crate) const GFP_KERNEL: () = ();

pub(crate) type Result<T = (), E = Error> = core::result::Result<T, E>;

impl From<core::num::TryFromIntError> for Error {
    fn from(_: core::num::TryFromIntError) -> Self {
        EINVAL
    }
}

/// A vector like the kernel's `KVec`, where growth is explicit.
pub(crate) struct KVec<T>(Vec<T>);

impl<T> KVec<T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn with_capacity(capacity: usize, _: ()) -> Result<Self> {
        Ok(Self(Vec::with_capacity(capacity)))
    }

    pub(crate) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    pub(crate) fn push(&mut self, value: T, _: ()) -> Result {
        self.0.push(value);
        Ok(())
    }

    pub(crate) fn reserve(&mut self, additional: usize, _: ()) -> Result {
        self.0.reserve(additional);
        Ok(())
    }

    pub(crate) fn retain(&mut self, f: impl FnMut(&T) -> bool) {
        self.0.retain(f)
    }

    pub(crate) fn push_within_capacity(&mut self, value: T) -> core::result::Result<(), T> {
        if self.0.len() == self.0.capacity() {
            return Err(value);
        }
        self.0.push(value);
        Ok(())
    }

    /// Each element that is moved to other memory is a step.
    pub(crate) fn drain_all(&mut self) -> std::vec::Drain<'_, T> {
        self.0.iter().for_each(|_| super::steps::step());
        self.0.drain(..)
    }

    pub(crate) fn remove(&mut self, index: usize) -> core::result::Result<T, ()> {
        (index < self.0.len())
            .then(|| self.0.remove(index))
            .ok_or(())
    }
}

impl<T: Clone> KVec<T> {
    pub(crate) fn from_elem(value: T, count: usize, _: ()) -> Result<Self> {
        Ok(Self(vec![value; count]))
    }
}

impl<T> core::ops::Deref for KVec<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        super::steps::step();
        &self.0
    }
}

impl<T> core::ops::DerefMut for KVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        super::steps::step();
        &mut self.0
    }
}

impl<T> IntoIterator for KVec<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A box whose allocation may fail.
pub(crate) struct KBox<T>(Box<T>);

impl<T> KBox<T> {
    pub(crate) fn new(value: T, _: ()) -> Result<Self> {
        Ok(Self(Box::new(value)))
    }

    pub(crate) fn pin(value: T, flags: ()) -> Result<Self> {
        Self::new(value, flags)
    }

    pub(crate) fn pin_init(value: T, flags: ()) -> Result<Self> {
        Self::new(value, flags)
    }
}

impl<T> core::ops::Deref for KBox<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> core::ops::DerefMut for KBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
