// SPDX-License-Identifier: GPL-2.0

//! Units as a whole: the order in which they are brought up, and what they leave behind.

mod units_bring_up;
mod units_protected_memory;
