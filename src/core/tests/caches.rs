// SPDX-License-Identifier: GPL-2.0

//! Nothing stale is reachable, nothing freed is reachable, and nothing is dropped in vain.

mod caches_bugs;
mod caches_domain;
mod caches_driver;
mod caches_hardware;
mod caches_memory;
mod caches_scenario;
#[allow(dead_code)]
mod pgtable_arena;
