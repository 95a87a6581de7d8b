// SPDX-License-Identifier: GPL-2.0

//! Unchecked numbers, used as checked ones.

use kernel_ext::acpi::FirmwareAddress;
use kernel_ext::pages::NumaNode;

/// A NUMA node that does not exist.
pub fn node() -> NumaNode {
    NumaNode(7) //~ E0423
}

/// An address that no table lists.
pub fn address() -> FirmwareAddress {
    FirmwareAddress(0xfee0_0000) //~ E0423
}
