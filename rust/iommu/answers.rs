// SPDX-License-Identifier: GPL-2.0

//! What a driver answers the core about a device.

/// What the core may ask about a device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// DMA is coherent with processor caches.
    CacheCoherency,
    /// Firmware used the unit before the system started, and asks for the same.
    PreBootProtection,
    /// A domain can force the device's accesses to snoop.
    EnforceCacheCoherency,
    /// Unmapping does not flush by itself.
    DeferredFlush,
}

/// The default domain that a driver asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum DefaultDomain {
    /// Whatever the user chose.
    AsChosen,
    /// The DMA API with strict flushing, and nothing else.
    StrictDma,
    /// The DMA API with deferred flushing.
    LazyDma,
    /// One to one.
    Identity,
}

/// What iommufd tells a user of the hardware behind a device.
pub struct HardwareInfo {
    /// `enum iommu_hw_info_type` of the user-space interface.
    pub kind: u32,
    /// The structure of that type, in words.
    pub words: [u64; 3],
}
