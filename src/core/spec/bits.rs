// SPDX-License-Identifier: GPL-2.0

//! Reading and building bit fields without a shift that can overflow.

/// Returns a mask of the lowest `count` bits; all ones from 64 up.
pub(crate) const fn low_mask(count: u32) -> u64 {
    match 1u64.checked_shl(count) {
        Some(one) => one.wrapping_sub(1),
        None => u64::MAX,
    }
}

/// Returns the bits `high..=low` of `value`, moved down to bit 0.
pub(crate) const fn field(value: u64, high: u32, low: u32) -> u64 {
    match value.checked_shr(low) {
        Some(moved) => moved & low_mask(high.saturating_sub(low).saturating_add(1)),
        None => 0,
    }
}

/// Returns whether bit `number` of `value` is set.
pub(crate) const fn bit(value: u64, number: u32) -> bool {
    field(value, number, number) != 0
}

/// Returns `1 << number`, or 0 for a bit that a `u64` does not have.
pub(crate) const fn one(number: u32) -> u64 {
    match 1u64.checked_shl(number) {
        Some(value) => value,
        None => 0,
    }
}

/// Returns `value` with its bit 0 moved up to bit `low`.
pub(crate) const fn at(value: u64, low: u32) -> u64 {
    match value.checked_shl(low) {
        Some(moved) => moved,
        None => 0,
    }
}

/// Returns `1 << number` if `condition`, else 0.
pub(crate) const fn flag(condition: bool, number: u32) -> u64 {
    if condition {
        one(number)
    } else {
        0
    }
}
