// SPDX-License-Identifier: GPL-2.0

//! What the driver looks after once a second.

use crate::machine::Machine;
use kernel_ext::periodic::PeriodicWork;

impl PeriodicWork for Machine {
    const PERIOD_MS: u32 = 1000;

    fn run(&self) {
        self.access_control.hold();
        // Reporting may sleep, and must not keep other devices from being probed.
        let mut from = 0;
        while let Some(info) = self.device_from(from) {
            info.complete_cut_off();
            from = info.number + 1;
        }
    }
}
