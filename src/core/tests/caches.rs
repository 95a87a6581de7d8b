// SPDX-License-Identifier: GPL-2.0

//! After random operations of the driver, no cache of a unit holds a stale translation or leads to
//! freed memory, and no invalidation is useless.

mod caches_attach;
mod caches_attachments;
mod caches_bugs;
mod caches_device_tlbs;
mod caches_domain;
mod caches_driver;
mod caches_entries;
mod caches_hardware;
mod caches_held;
mod caches_laws;
mod caches_memory;
mod caches_queue;
mod caches_scenario;
mod caches_stores;
mod caches_units;
#[allow(dead_code)]
mod pgtable_arena;
