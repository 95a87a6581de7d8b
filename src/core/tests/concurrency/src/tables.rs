// SPDX-License-Identifier: GPL-2.0

//! Two maps install the tables above them concurrently, on a unit that does not snoop: after a map
//! returns, hardware finds the mapping, whichever thread has linked the tables.

use crate::shim::pages::Gfp;
use crate::shim::table_pages::TablePages;
use std::sync::Arc;
use vtd_core::pgtable::{Geometry, PageTable, Prot, SecondStage};
use vtd_core::spec::address::{Iova, PhysAddr};
use vtd_core::spec::level::AddressWidth;
use vtd_core::spec::pte::Access;

subjects! {
    memory memory_reader_trusts_writer memory_loser_trusts_winner memory_marked_before_written_back memory_overwritten
    memory_relaxed_link
}

const GEOMETRY: Geometry = Geometry {
    width: AddressWidth::Bits39,
    input_bits: 39,
    output_bits: 48,
    large_2m: false,
    large_1g: false,
    snoop_control: false,
};

macro_rules! found {
    ($module:ident) => {
        crate::check(|| {
            let mem = || $module::Memory::<SecondStage, false>::new(TablePages, Gfp::KERNEL);
            let stage = Arc::new(PageTable::new(&mem(), GEOMETRY).unwrap());
            let map = |page: u64| {
                let (stage, mem) = (stage.clone(), mem());
                move || {
                    let prot = Prot {
                        access: Access::ReadWrite,
                        snoop: false,
                    };
                    let (iova, phys) = (Iova::new(page << 12), PhysAddr::new((page + 7) << 12));
                    let mapped = stage.map(&mem, iova, phys, 4096, prot, &mut |_| ());
                    assert!(mapped.is_ok());
                    // The hardware walk.
                    let mut table = stage.top(&mem);
                    for index in [0, 0] {
                        let link = table.hardware(index);
                        assert_ne!(link, 0, "hardware finds no table");
                        table = TablePages.follow(link);
                    }
                    assert_eq!(table.hardware(page as usize), phys.raw() | 3);
                }
            };
            let other = loom::thread::spawn(map(1));
            map(0)();
            other.join().unwrap();
            // Neither map has removed the mapping of the other.
            for page in 0..2 {
                assert!(stage.query(&mem(), Iova::new(page << 12)).is_some());
            }
        })
    };
}

laws! {
    hardware_finds_what_two_threads_map_concurrently: memory, found;
    a_reader_that_trusts_the_writer_is_noticed: memory_reader_trusts_writer, "hardware finds no table";
    a_loser_that_trusts_the_winner_is_noticed: memory_loser_trusts_winner, "hardware finds no table";
    a_link_marked_before_it_is_written_back_is_noticed: memory_marked_before_written_back, "hardware finds no table";
    a_link_written_over_another_is_noticed: memory_overwritten, "is_some()";
    a_link_without_order_is_noticed: memory_relaxed_link, "Causality violation";
}
