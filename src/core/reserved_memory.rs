// SPDX-License-Identifier: GPL-2.0

//! Memory that firmware reserves for a device (RMRR, VT-d 8.4): how long firmware uses it, and whether
//! it keeps users away.

const CLASS_USB: u32 = 0x0c03;
const BASE_CLASS_DISPLAY: u32 = 0x03;

/// Returns whether firmware uses the memory while the system runs. It stops using USB controllers and
/// displays when their drivers take over.
///
/// `class` has 24 bits: base class, subclass and programming interface.
pub const fn is_used_at_run_time(class: u32) -> bool {
    class >> 8 != CLASS_USB && class >> 16 != BASE_CLASS_DISPLAY
}

/// Returns whether no user may have the device; `is_relaxed` if `rmrr=` names it.
pub const fn keeps_users_away(class: u32, is_relaxed: bool) -> bool {
    is_used_at_run_time(class) && !is_relaxed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usb_controllers_and_displays_are_handed_over() {
        for (class, is_used) in [
            (0x0c03_30, false), // XHCI
            (0x0c03_00, false), // UHCI
            (0x0300_00, false), // VGA
            (0x0380_00, false), // another display
            (0x0c04_00, true),  // Fibre Channel
            (0x0c00_03, true),
            (0x0403_00, true), // audio
            (0x0200_03, true), // Ethernet
            (0x0104_03, true), // RAID
            (0, true),
        ] {
            assert_eq!(is_used_at_run_time(class), is_used, "{class:#08x}");
            assert_eq!(keeps_users_away(class, false), is_used, "{class:#08x}");
            assert!(!keeps_users_away(class, true), "{class:#08x}");
        }
    }
}
