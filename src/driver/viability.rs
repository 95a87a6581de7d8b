// SPDX-License-Identifier: GPL-2.0

//! Why a group cannot be given to a user, said by name.
//!
//! The core counts the kernel drivers of a group and refuses a claim without a word to the log, and
//! without asking the remapping driver. But whoever claims a device for a user asks first whether
//! its DMA is coherent: VFIO when its driver binds, iommufd right before each claim. Nobody else
//! asks about a device whose driver manages DMA by itself, so that question is the moment to tell.

use crate::device::DeviceInfo;
use crate::machine::Machine;
use kernel_ext::log_warn;

impl Machine {
    /// Names the devices that keep `claimed`, which a user is about to claim, from being claimed.
    /// May sleep.
    pub(super) fn explain_siblings(&self, claimed: &DeviceInfo) {
        let driver = claimed.pci.as_device().driver();
        let driver_managed_dma = driver.is_some_and(|driver| driver.driver_managed_dma);
        let group = claimed.state.lock().group_id();
        let Some(group) = group.filter(|_| driver_managed_dma) else {
            return;
        };
        self.for_each_device(|info| {
            let sibling = info.pci.as_device();
            let Some(driver) = sibling.driver().filter(|driver| !driver.driver_managed_dma) else {
                return;
            };
            if info.state.lock().group_id() != Some(group) {
                return;
            }
            let Some(note) = claimed.log_limit.allow_line() else {
                return;
            };
            log_warn!(
                "{}: group {group}: {claimed} cannot be given to a user: {info} of the same group is \
                 driven by {1}. Unbind it (echo {info} > /sys/bus/pci/drivers/{1}/unbind), or give \
                 it to the same user{note}",
                &*info.unit,
                driver.name
            );
        });
    }
}
