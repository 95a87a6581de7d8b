// SPDX-License-Identifier: GPL-2.0

//! What the driver's files use of the IOMMU core.

pub(crate) use super::table_pages;
