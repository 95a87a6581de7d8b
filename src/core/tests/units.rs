// SPDX-License-Identifier: GPL-2.0

//! Tests of whole units: the order in which they are brought up, and the state that they leave.

#[allow(dead_code)] // The tests of the parser use the rest.
mod dmar_build;
mod units_bring_up;
mod units_device_tlb;
mod units_interrupts;
mod units_protected_memory;
mod units_wired;
