// SPDX-License-Identifier: GPL-2.0

//! The requests of the IOMMU core.

pub(crate) use super::table_pages;

#[derive(Clone)]
pub(crate) struct Group(pub(crate) u32);

impl Group {
    pub(crate) fn id(&self) -> u32 {
        self.0
    }

    pub(crate) fn is_owned(&self) -> bool {
        false
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DomainKind {
    Blocked,
    Identity,
    DmaApi,
    Iommufd,
    Unmanaged,
}

#[derive(Clone, Copy)]
pub(crate) struct DomainInfo {
    pub(crate) kind: DomainKind,
    pub(crate) token: usize,
}

pub(crate) struct AttachArgs {
    pub(crate) old: Option<DomainInfo>,
    pub(crate) new: DomainInfo,
}

#[derive(PartialEq, Eq)]
pub(crate) enum RegionKind {
    Direct,
}
