// SPDX-License-Identifier: GPL-2.0

//! Parses any bytes as a DMAR table: unchanged, and with length and checksum corrected, because a
//! fuzzer does not find those by itself.

#![no_main]

#[allow(dead_code)]
#[path = "../../src/core/tests/dmar_build.rs"]
mod dmar_build;
#[path = "../../src/core/tests/dmar_exercise.rs"]
mod dmar_exercise;

use dmar_exercise::exercise;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    exercise(bytes);
    exercise(&dmar_build::seal(bytes.to_vec()));
});
