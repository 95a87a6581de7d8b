// SPDX-License-Identifier: GPL-2.0

//! Table memory for tests: a non-coherent machine that records its operations.
//!
//! Every page has two copies: what the processor wrote, and what hardware sees. The second one
//! changes only by a write-back. A page is used between `alloc` and its retirement and never again,
//! so that every use of a retired page is noticed.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicU8, AtomicUsize, Ordering::*};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use vtd_core::pgtable::{run, Directory, Format, OutOfMemory, PresentEntry, SecondStage};
use vtd_core::pgtable::{TableLevel, TableMemory};
use vtd_core::spec::address::PhysAddr;

/// The physical address of the arena's pages; any address that is easy to recognise.
const BASE: u64 = 0x12_3400_0000;

const LIVE: u8 = 1;
const DISCARDED: u8 = 2;
const RETIRED: u8 = 3;

type Entries = [AtomicU64; 512];

struct Cell {
    processor: Entries,
    hardware: Entries,
    level: u8,
    state: AtomicU8,
}

/// The number of a page in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PageId(pub(crate) u32);

impl PageId {
    pub(crate) fn phys(self) -> u64 {
        BASE + (u64::from(self.0) << 12)
    }

    fn at(phys: u64) -> Option<Self> {
        let offset = phys.checked_sub(BASE)?;
        (offset % 4096 == 0).then_some(Self((offset >> 12) as u32))
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Table<L> {
    page: PageId,
    level: PhantomData<L>,
}

/// Memory for tables of the format `F`.
pub(crate) struct Arena<F = SecondStage> {
    format: PhantomData<F>,
    cells: Box<[OnceLock<Box<Cell>>]>,
    used: AtomicUsize,
    /// The number of allocations that still succeed.
    budget: AtomicI64,
    flushes: AtomicUsize,
    lost_races: AtomicUsize,
    /// The number of threads that meet in `alloc`, and how many are still to arrive.
    party: AtomicI64,
    expected: AtomicI64,
}

impl Arena {
    pub(crate) fn new(pages: usize) -> Self {
        Self::with_format(pages)
    }
}

impl<F: Format> Arena<F> {
    pub(crate) fn with_format(pages: usize) -> Self {
        Self {
            format: PhantomData,
            cells: (0..pages).map(|_| OnceLock::new()).collect(),
            used: AtomicUsize::new(0),
            budget: AtomicI64::new(i64::MAX),
            flushes: AtomicUsize::new(0),
            lost_races: AtomicUsize::new(0),
            party: AtomicI64::new(1),
            expected: AtomicI64::new(0),
        }
    }

    /// Makes the next `times` allocations of each of `party` threads wait for each other: all
    /// have then found the same entry empty.
    pub(crate) fn race(&self, party: usize, times: usize) {
        self.party.store(party as i64, SeqCst);
        self.expected.store((party * times) as i64, SeqCst);
    }

    /// Waits for the other threads of the party, with a time limit.
    fn meet(&self) {
        let party = self.party.load(SeqCst);
        let before = self.expected.fetch_sub(1, SeqCst);
        if before <= 0 {
            return;
        }
        let complete = (before - 1) / party * party;
        let start = Instant::now();
        while self.expected.load(SeqCst) > complete && start.elapsed() < Duration::from_secs(2) {
            std::thread::yield_now();
        }
    }

    /// Lets only `count` more allocations succeed.
    pub(crate) fn limit(&self, count: i64) {
        self.budget.store(count, SeqCst);
    }

    /// Returns the number of write-backs of runs so far, without those of links.
    pub(crate) fn flushes(&self) -> usize {
        self.flushes.load(SeqCst)
    }

    /// Returns how often another thread's link was first.
    pub(crate) fn lost_races(&self) -> usize {
        self.lost_races.load(SeqCst)
    }

    /// Returns what hardware reads at a physical address, or `None` if no table in use is there.
    pub(crate) fn hardware_read(&self, phys: u64) -> Option<u64> {
        let cell = self.cell(PageId::at(phys & !0xfff)?)?;
        (cell.state.load(SeqCst) == LIVE)
            .then(|| cell.hardware[(phys as usize & 0xfff) / 8].load(SeqCst))
    }

    /// Writes `entry` at a physical address, as an error would.
    pub(crate) fn spoil(&self, phys: u64, entry: u64) {
        let page = PageId::at(phys & !0xfff).expect("a page of the arena");
        let cell = self.cell(page).expect("a page of the arena");
        let index = (phys as usize & 0xfff) / 8;
        cell.processor[index].store(entry, SeqCst);
        cell.hardware[index].store(entry, SeqCst);
    }

    /// Returns the level for which a page was allocated.
    pub(crate) fn level(&self, page: PageId) -> u8 {
        self.cell(page).expect("a page of the arena").level
    }

    /// Returns all pages in use.
    pub(crate) fn live(&self) -> Vec<PageId> {
        (0..self.used.load(SeqCst).min(self.cells.len()) as u32)
            .map(PageId)
            .filter(|&page| {
                self.cell(page)
                    .is_some_and(|cell| cell.state.load(SeqCst) == LIVE)
            })
            .collect()
    }

    /// Records that `page` was retired; a second time is an error.
    pub(crate) fn retire(&self, page: PageId) {
        self.end(page, RETIRED);
    }

    fn end(&self, page: PageId, state: u8) {
        let cell = self.cell(page).expect("a page of the arena");
        let before = cell.state.swap(state, SeqCst);
        assert_eq!(before, LIVE, "{page:?} retired twice");
    }

    fn cell(&self, page: PageId) -> Option<&Cell> {
        self.cells.get(page.0 as usize)?.get().map(|cell| &**cell)
    }

    fn used<L: TableLevel>(&self, table: Table<L>) -> &Cell {
        let cell = self.cell(table.page).expect("a page of the arena");
        assert_eq!(
            cell.state.load(SeqCst),
            LIVE,
            "{:?} used after its end",
            table.page
        );
        assert_eq!(
            cell.level,
            L::LEVEL.number(),
            "{:?} used at another level",
            table.page
        );
        cell
    }

    fn write_back(cell: &Cell, index: usize) {
        cell.hardware[index].store(cell.processor[index].load(SeqCst), SeqCst);
    }

    fn present_entry<L: Directory>(entry: u64) -> PresentEntry<Table<L::Child>> {
        if run::is_leaf::<F, L>(entry) {
            return PresentEntry::Leaf(entry);
        }
        PresentEntry::Table(Table {
            page: PageId::at(entry & F::ADDRESS).expect("a link into the arena"),
            level: PhantomData,
        })
    }
}

impl<F: Format> TableMemory for Arena<F> {
    type Format = F;
    type Table<L: TableLevel> = Table<L>;
    type Page = PageId;

    fn page<L: TableLevel>(&self, table: Table<L>) -> PageId {
        table.page
    }

    fn alloc<L: TableLevel>(&self) -> Result<Table<L>, OutOfMemory> {
        if self.budget.fetch_sub(1, SeqCst) <= 0 {
            return Err(OutOfMemory);
        }
        self.meet();
        let index = self.used.fetch_add(1, SeqCst);
        let cell = Box::new(Cell {
            processor: [const { AtomicU64::new(0) }; 512],
            hardware: [const { AtomicU64::new(0) }; 512],
            level: L::LEVEL.number(),
            state: AtomicU8::new(LIVE),
        });
        let place = self.cells.get(index).expect("arena large enough");
        assert!(place.set(cell).is_ok());
        Ok(Table {
            page: PageId(index as u32),
            level: PhantomData,
        })
    }

    fn discard<L: TableLevel>(&self, table: Table<L>) {
        self.end(table.page, DISCARDED);
    }

    fn load_entry<L: Directory>(
        &self,
        table: Table<L>,
        index: usize,
    ) -> Option<PresentEntry<Table<L::Child>>> {
        let cell = self.used(table);
        let entry = cell.processor[index].load(SeqCst);
        if entry == 0 {
            return None;
        }
        if !run::is_leaf::<F, L>(entry) && entry & F::IGNORED == 0 {
            Self::write_back(cell, index);
        }
        Some(Self::present_entry::<L>(entry))
    }

    fn raw<L: TableLevel>(&self, table: Table<L>, index: usize) -> u64 {
        self.used(table).processor[index].load(SeqCst)
    }

    fn fill<L: TableLevel>(
        &self,
        table: Table<L>,
        first: usize,
        count: usize,
        entry: u64,
    ) -> usize {
        run::fill_run::<F, L>(&self.used(table).processor[first..first + count], entry)
    }

    fn clear<L: TableLevel>(&self, table: Table<L>, first: usize, count: usize) -> usize {
        run::clear_run::<F, L>(&self.used(table).processor[first..first + count])
    }

    fn link<L: Directory>(
        &self,
        table: Table<L>,
        index: usize,
        child: Table<L::Child>,
    ) -> Result<(), PresentEntry<Table<L::Child>>> {
        let cell = self.used(table);
        let link = F::link(PhysAddr::new(child.page.phys())).expect("an aligned address");
        if let Err(there) = cell.processor[index].compare_exchange(0, link, SeqCst, SeqCst) {
            self.lost_races.fetch_add(1, SeqCst);
            Self::write_back(cell, index);
            return Err(Self::present_entry::<L>(there));
        }
        // Gives another thread time to find the link before hardware can.
        std::thread::yield_now();
        Self::write_back(cell, index);
        cell.processor[index].fetch_or(F::IGNORED, SeqCst);
        Ok(())
    }

    fn unlink<L: Directory>(&self, table: Table<L>, index: usize) {
        let entry = self.used(table).processor[index].swap(0, SeqCst);
        assert!(
            entry != 0 && !run::is_leaf::<F, L>(entry),
            "unlinked an entry that is not a link"
        );
    }

    fn flush<L: TableLevel>(&self, table: Table<L>, first: usize, count: usize) {
        self.flushes.fetch_add(1, SeqCst);
        let cell = self.used(table);
        for index in first..first + count {
            Self::write_back(cell, index);
        }
    }
}
