// SPDX-License-Identifier: GPL-2.0

//! The kernel's log: messages are formatted and discarded.

macro_rules! log {
    ($($text:tt)*) => {
        drop(format!($($text)*))
    };
}

macro_rules! log_dev {
    ($device:expr, $($text:tt)*) => {{
        let _ = $device;
        drop(format!($($text)*))
    }};
}

pub(crate) use {log as log_err, log as log_info, log as log_warn};
pub(crate) use {log_dev as log_dev_err, log_dev as log_dev_info, log_dev as log_dev_warn};
