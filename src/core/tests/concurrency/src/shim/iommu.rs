// SPDX-License-Identifier: GPL-2.0

//! What the core asks for.

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DomainKind {
    Blocked,
    Identity,
    DmaApi,
    Iommufd,
    Unmanaged,
}

#[derive(Clone, Copy)]
pub(crate) struct DomainView {
    pub(crate) kind: DomainKind,
    pub(crate) identity: usize,
}

pub(crate) struct Change {
    pub(crate) old: Option<DomainView>,
    pub(crate) new: DomainView,
}

#[derive(PartialEq, Eq)]
pub(crate) enum RegionKind {
    Direct,
}
