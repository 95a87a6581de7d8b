// SPDX-License-Identifier: GPL-2.0

//! The devices that use a requester ID. Normally there is one. Behind a conventional bridge, or
//! behind a volume management device, several devices share an ID, and a request does not show
//! which of them sent it.

use super::Machine;
use crate::device::DeviceInfo;
use core::fmt;
use kernel::sync::Arc;
use kernel_ext::pci::PciDevice;
use vtd_core::spec::address::{Segment, SourceId};

/// How many of the devices that share a requester ID a report names. With the names of their
/// drivers, this many fit into one line of the log.
const NAMED: usize = 4;

/// The devices that use a requester ID, at one moment.
pub(crate) struct RequesterUsers {
    first: [Option<Arc<DeviceInfo>>; NAMED],
    count: usize,
    /// The bridge that replaces their requester IDs by this one.
    bridge: Option<PciDevice>,
}

impl RequesterUsers {
    /// Returns the first of them.
    pub(crate) fn first(&self) -> Option<&Arc<DeviceInfo>> {
        self.first.iter().flatten().next()
    }

    /// Returns whether there is more than one.
    pub(crate) fn is_shared(&self) -> bool {
        self.count > 1
    }

    fn add(&mut self, info: &Arc<DeviceInfo>) {
        if let Some(place) = self.first.get_mut(self.count) {
            *place = Some(info.clone());
        }
        self.count += 1;
    }
}

impl fmt::Display for RequesterUsers {
    /// Writes `bridge B, shared by N devices: D driver X, E no driver, and M more`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(bridge) = &self.bridge {
            write!(f, "bridge {}, ", bridge.as_device())?;
        }
        write!(f, "shared by {} devices", self.count)?;
        for (index, info) in self.first.iter().flatten().enumerate() {
            let mark = if index == 0 { ':' } else { ',' };
            let device = info.pci.as_device();
            match device.driver() {
                Some(driver) => write!(f, "{mark} {device} driver {}", driver.name)?,
                None => write!(f, "{mark} {device} no driver")?,
            }
        }
        match self.count.saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

impl Machine {
    /// Returns the device at an address, if it is behind a unit; the first one if several devices
    /// have this address.
    fn device_at(&self, location: (Segment, SourceId)) -> Option<Arc<DeviceInfo>> {
        let devices = self.devices.lock();
        let at = devices.partition_point(|info| info.location() < location);
        let own = devices.get(at).filter(|info| info.location() == location);
        own.cloned()
    }

    /// Returns the devices that use a requester ID. Searches all devices.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn users_of(&self, segment: Segment, source: SourceId) -> RequesterUsers {
        let mut users = RequesterUsers {
            first: [const { None }; NAMED],
            count: 0,
            bridge: None,
        };
        for info in self.devices.lock().iter() {
            if info.segment == segment && info.requesters.contains(&source) {
                users.add(info);
            }
        }
        let below = users.first().and_then(|info| info.pci.dma_device());
        users.bridge = below.and_then(|device| device.bridge_with_alias(source.raw()));
        users
    }

    /// Returns the device that the faults of a requester ID are counted for: the device that has
    /// this ID itself, or the only one that uses it, or the bridge that replaces the IDs of other
    /// devices by it. Searches all devices only for an alias.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn fault_device(
        &self,
        segment: Segment,
        source: SourceId,
    ) -> Option<Arc<DeviceInfo>> {
        if let Some(own) = self.device_at((segment, source)) {
            return Some(own);
        }
        let users = self.users_of(segment, source);
        let bridge = users.bridge.as_ref().filter(|_| users.is_shared());
        bridge
            .map(|bridge| SourceId::from_raw(bridge.properties().requester))
            .and_then(|bridge| self.device_at((segment, bridge)))
            .or_else(|| users.first().cloned())
    }

    /// Returns, for each device and function number of a bus, whether a device uses this requester
    /// ID.
    ///
    /// # Context
    ///
    /// May sleep.
    pub(crate) fn requesters_on_bus(&self, segment: Segment, bus: u8) -> [bool; 256] {
        let mut known = [false; 256];
        for info in self.devices.lock().iter() {
            let of_bus = |source: &&SourceId| info.segment == segment && source.bus() == bus;
            for source in info.requesters.iter().filter(of_bus) {
                if let Some(known) = known.get_mut(usize::from(source.devfn())) {
                    *known = true;
                }
            }
        }
        known
    }
}
