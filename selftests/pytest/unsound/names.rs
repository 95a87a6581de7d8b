// SPDX-License-Identifier: GPL-2.0

//! Numbers, passed off as checked.

use kernel_ext::acpi::FirmwareAddress;
use kernel_ext::pages::NumaNode;

/// A node that is not there.
pub fn node() -> NumaNode {
    NumaNode(7) //~ E0423
}

/// An address that no table names.
pub fn address() -> FirmwareAddress {
    FirmwareAddress(0xfee0_0000) //~ E0423
}
