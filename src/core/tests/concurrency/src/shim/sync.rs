// SPDX-License-Identifier: GPL-2.0

//! The sleeping locks of the kernel.

use super::prelude::Result;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
pub(crate) use std::sync::Arc;

pub(crate) mod lock {
    pub(crate) use super::Guard;

    pub(crate) mod mutex {
        pub(crate) struct MutexBackend;
    }
}

pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

pub(crate) struct Guard<'a, T, B>(loom::sync::MutexGuard<'a, T>, PhantomData<B>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> Guard<'_, T, lock::mutex::MutexBackend> {
        Guard(self.0.lock().unwrap(), PhantomData)
    }
}

impl<T, B> Deref for Guard<'_, T, B> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T, B> DerefMut for Guard<'_, T, B> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

macro_rules! new_mutex {
    ($value:expr, $name:literal) => {
        crate::shim::sync::Mutex::new($value)
    };
}

pub(crate) use new_mutex;

pub(crate) fn pin_init<T>(value: T, _: ()) -> Result<Arc<T>> {
    Ok(Arc::new(value))
}
