// SPDX-License-Identifier: GPL-2.0

//! A value that is set once. Who sets it is not modelled.

use super::prelude::KBox;
use std::sync::OnceLock;

pub(crate) struct LateBox<T>(OnceLock<KBox<T>>);

impl<T> LateBox<T> {
    pub(crate) fn new() -> Self {
        Self(OnceLock::new())
    }

    pub(crate) fn value(&self) -> Option<&T> {
        self.0.get().map(|value| &**value)
    }

    pub(crate) fn set(&self, value: KBox<T>) {
        let _ = self.0.set(value);
    }
}
