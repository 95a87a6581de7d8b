// SPDX-License-Identifier: GPL-2.0

//! What shows devices, above the machine, is notified of them by a trait.

use crate::device::DeviceInfo;
use kernel::prelude::*;
use kernel::sync::Arc;

/// Is notified of the devices behind units.
pub(crate) trait DeviceObserver: Send + Sync {
    /// Shows a device. [`ENOMEM`]. May sleep.
    fn added(&self, info: &Arc<DeviceInfo>) -> Result;

    /// Shows a device no more; waits for whoever is just reading. May sleep.
    fn removed(&self, info: &DeviceInfo);
}
