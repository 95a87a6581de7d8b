// SPDX-License-Identifier: GPL-2.0

//! Random sequences of requests on tables of every shape, compared with the model and the hardware
//! walk.

use crate::pgtable_model::{Bench, Page, GIGA, MEGA, PAGE};
use proptest::prelude::*;
use vtd_core::pgtable::Geometry;
use vtd_core::spec::level::AddressWidth;

#[derive(Clone, Copy, Debug)]
enum Request {
    Map {
        iova: u64,
        len: u64,
        page: Page,
    },
    Unmap {
        iova: u64,
        len: u64,
    },
    /// Unmaps around the n-th page that is mapped.
    UnmapPage {
        nth: usize,
        len: u64,
    },
    /// Maps over or next to the n-th page that is mapped.
    MapAt {
        nth: usize,
        pages: i64,
        len: u64,
        page: Page,
    },
    Probe {
        iova: u64,
    },
    /// Lets only this many allocations succeed in the next map.
    Starve {
        tables: i64,
    },
}

/// Addresses near the boundaries of entries of every level, so that requests overlap.
fn address(last: u64) -> impl Strategy<Value = u64> {
    let borders = prop::sample::select(vec![
        0,
        MEGA,
        2 * MEGA,
        GIGA - 2 * MEGA,
        GIGA,
        2 * GIGA,
        (1 << 39) - GIGA,
        1 << 39,
        (1 << 48) - GIGA,
        1 << 48,
        last + 1,
    ]);
    let distance = prop_oneof![
        4 => -6i64..6,
        1 => -600i64..600,
        1 => prop::sample::select(vec![-512i64, 512, 1024]),
    ];
    (borders, distance).prop_map(move |(border, pages)| {
        border.wrapping_add_signed(pages * PAGE as i64) & last & !(PAGE - 1)
    })
}

fn length() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => (1u64..9).prop_map(|n| n * PAGE),
        3 => (1u64..1500).prop_map(|n| n * PAGE),
        3 => (1u64..5).prop_map(|n| n * MEGA),
        2 => (1u64..3).prop_map(|n| n * GIGA),
        1 => (1u64..3, 0u64..600, 0u64..600)
            .prop_map(|(g, m, p)| g * GIGA + m * MEGA + p * PAGE),
    ]
}

fn memory() -> impl Strategy<Value = Page> {
    let phys = prop_oneof![
        3 => (0u64..8).prop_map(|n| n * GIGA),
        3 => (0u64..2048).prop_map(|n| n * MEGA),
        2 => (0u64..1 << 20).prop_map(|n| n * PAGE),
    ];
    (phys, 1u8..4, any::<bool>()).prop_map(|(phys, access, snoop)| Page {
        bytes: 0,
        phys,
        read: access & 1 != 0,
        write: access & 2 != 0,
        snoop,
    })
}

fn request(last: u64) -> impl Strategy<Value = Request> {
    prop_oneof![
        6 => (address(last), length(), memory(), any::<bool>()).prop_map(
            |(iova, len, mut page, alike)| {
                // Large pages need addresses that are equal modulo 1G.
                if alike {
                    page.phys = (page.phys & !(GIGA - 1)) | (iova & (GIGA - 1));
                }
                Request::Map { iova, len, page }
            },
        ),
        3 => (address(last), length()).prop_map(|(iova, len)| Request::Unmap { iova, len }),
        5 => (any::<usize>(), length()).prop_map(|(nth, len)| Request::UnmapPage { nth, len }),
        2 => (any::<usize>(), -5i64..5, length(), memory())
            .prop_map(|(nth, pages, len, page)| Request::MapAt { nth, pages, len, page }),
        1 => address(last).prop_map(|iova| Request::Probe { iova }),
        1 => (0i64..6).prop_map(|tables| Request::Starve { tables }),
    ]
}

fn geometry() -> impl Strategy<Value = Geometry> {
    let width = prop::sample::select(AddressWidth::WIDEST_FIRST.to_vec());
    (
        width,
        prop::sample::select(vec![38, 39, 48, 57]),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(width, input_bits, large_2m, large_1g)| Geometry {
            width,
            input_bits,
            output_bits: 40,
            large_2m,
            large_1g,
            snoop_control: true,
        })
}

/// The shape of a table and the requests.
fn sequence() -> impl Strategy<Value = (Geometry, Vec<Request>)> {
    geometry().prop_flat_map(|geometry| {
        let requests = prop::collection::vec(request(geometry.last_iova().raw()), 1..40);
        (Just(geometry), requests)
    })
}

/// Limits a request so that it stays within the aperture and does not take the test too long:
/// another test maps a GiB in pages of 4K.
fn clip(bench: &Bench, iova: u64, len: u64, phys: u64) -> u64 {
    let geometry = bench.stage.geometry();
    let large = geometry.large_2m && (iova ^ phys) % MEGA == 0;
    let most = if large { 3 * GIGA } else { 5 * MEGA };
    let room = (geometry.last_iova().raw() - iova).wrapping_add(1);
    len.min(most).min(room)
}

/// Maps with `tables` allocations left; if memory runs out, nothing must have changed.
fn map(bench: &mut Bench, starved: &mut Option<i64>, iova: u64, len: u64, page: Page) {
    let len = clip(bench, iova, len, page.phys);
    let before = bench.model.clone();
    if let Some(tables) = starved.take() {
        bench.arena.limit(tables);
        let tried = bench.map_raw(iova, len, page);
        bench.arena.limit(i64::MAX);
        bench.collect();
        if tried.is_err() {
            bench.model = before;
            bench.check();
            return;
        }
        // It fitted: undo it, so that the model can do the same.
        let arena = &bench.arena;
        let retired = &mut bench.retired;
        let iova = vtd_core::spec::address::Iova::new(iova);
        let undone = bench
            .stage
            .unmap(arena, iova, len, &mut |page| retired.push(page));
        assert_eq!((undone.bytes, undone.stop), (len, None));
        bench.collect();
    }
    let _ = bench.map(iova, len, page);
}

fn serve(bench: &mut Bench, starved: &mut Option<i64>, request: Request) {
    let nth = |bench: &Bench, n: usize| {
        let pages = &bench.model.pages;
        pages.keys().nth(n % pages.len().max(1)).copied()
    };
    match request {
        Request::Map { iova, len, page } => map(bench, starved, iova, len, page),
        Request::Unmap { iova, len } => {
            let len = clip(bench, iova, len, iova);
            bench.unmap(iova, len);
        }
        Request::UnmapPage { nth: n, len } => {
            if let Some(iova) = nth(bench, n) {
                let len = clip(bench, iova, len, iova);
                bench.unmap(iova, len);
            }
        }
        Request::MapAt {
            nth: n,
            pages,
            len,
            page,
        } => {
            let last = bench.stage.geometry().last_iova().raw();
            if let Some(start) = nth(bench, n) {
                let iova = start.wrapping_add_signed(pages * PAGE as i64);
                if iova <= last {
                    map(bench, starved, iova, len, page);
                }
            }
        }
        Request::Probe { iova } => bench.check_address(iova),
        Request::Starve { tables } => *starved = Some(tables),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn table_model_and_hardware_agree_after_every_request((geometry, requests) in sequence()) {
        let mut bench = Bench::new(geometry);
        let mut starved = None;
        for request in requests {
            serve(&mut bench, &mut starved, request);
            bench.check();
        }
        bench.release();
    }
}
