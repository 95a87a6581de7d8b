// SPDX-License-Identifier: GPL-2.0

//! Explains in the log why a group cannot be claimed for a user, and names the devices that prevent
//! it.
//!
//! The core counts the kernel drivers of a group. It refuses a claim without a line in the log, and
//! without a call to the IOMMU driver. But before a device is claimed for a user, its
//! `IOMMU_CAP_CACHE_COHERENCY` is queried: by VFIO when its driver is bound, by iommufd right
//! before each claim. For a device with a `driver_managed_dma` driver, this query has no other
//! caller. So the query is the moment to explain.

use crate::device::DeviceInfo;
use crate::machine::Machine;
use kernel_ext::log_dev_warn;

impl Machine {
    /// Logs the devices that prevent a user from claiming `claimed`.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(super) fn explain_siblings(&self, claimed: &DeviceInfo) {
        let driver = claimed.pci.as_device().driver();
        let driver_managed_dma = driver.is_some_and(|driver| driver.driver_managed_dma);
        let group = claimed.state.lock().group_id;
        let Some(group) = group.filter(|_| driver_managed_dma) else {
            return;
        };
        self.for_each_device(|info| {
            let sibling = info.pci.as_device();
            let Some(driver) = sibling.driver().filter(|driver| !driver.driver_managed_dma) else {
                return;
            };
            if info.state.lock().group_id != Some(group) {
                return;
            }
            let Some(note) = claimed.log_limit.allow_line() else {
                return;
            };
            log_dev_warn!(
                claimed.pci.as_device(),
                "{}: group {group}: {claimed} cannot be given to a user: {info} of the same group is \
                 driven by {1}. Unbind it (echo {info} > /sys/bus/pci/drivers/{1}/unbind), or give \
                 it to the same user{note}",
                &*info.unit,
                driver.name
            );
        });
    }
}
