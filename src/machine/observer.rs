// SPDX-License-Identifier: GPL-2.0

//! The trait by which reports, which are above the machine, are notified of devices.

use crate::device::DeviceInfo;
use kernel::prelude::*;
use kernel::sync::Arc;

/// An object that is notified of the devices behind units.
pub(crate) trait DeviceObserver: Send + Sync {
    /// Handles a device that was probed.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    ///
    /// # Context
    ///
    /// May sleep.
    fn added(&self, info: &Arc<DeviceInfo>) -> Result;

    /// Handles a device that was released; waits for concurrent readers of its files.
    ///
    /// # Context
    ///
    /// May sleep.
    fn removed(&self, info: &DeviceInfo);
}
