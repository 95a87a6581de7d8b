// SPDX-License-Identifier: GPL-2.0

//! The devices that no unit translates. They are in no group.

use super::adopted::AdoptedDevices;
use super::left_out::LeftOutDevices;
use kernel::prelude::*;
use kernel::sync::Arc;

/// The lists of all such devices.
#[pin_data]
pub(crate) struct UntranslatedDevices {
    /// Devices that stay in pass-through.
    #[pin]
    pub(crate) adopted: AdoptedDevices,
    /// Devices behind no unit, although firmware gives them one.
    #[pin]
    pub(crate) left_out: LeftOutDevices,
}

impl UntranslatedDevices {
    /// Creates the lists, empty.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if an allocation fails.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                adopted <- AdoptedDevices::new(),
                left_out <- LeftOutDevices::new(),
            }),
            GFP_KERNEL,
        )
    }
}
