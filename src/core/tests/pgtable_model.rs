// SPDX-License-Identifier: GPL-2.0

//! The model of map and unmap: a sorted map of pages, and a bench that compares the table with it.

use crate::pgtable_arena::{Arena, PageId};
use crate::pgtable_walker::{Found, Tables, Unit};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use vtd_core::pgtable::{
    Geometry, MapError, MapFailed, MemoryRun, PageTable, Prot, UnmapStop, Unmapped,
};
use vtd_core::spec::address::{Iova, PhysAddr};
use vtd_core::spec::pte::Access;

pub(crate) const PAGE: u64 = 0x1000;
pub(crate) const MEGA: u64 = 0x20_0000;
pub(crate) const GIGA: u64 = 0x4000_0000;

/// A page of any size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) bytes: u64,
    pub(crate) phys: u64,
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) snoop: bool,
}

/// The pages by the address at which they start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) pages: BTreeMap<u64, Page>,
}

impl Model {
    /// Returns the page that holds `iova`, and its start.
    pub(crate) fn page_at(&self, iova: u64) -> Option<(u64, Page)> {
        let (&start, &page) = self.pages.range(..=iova).next_back()?;
        (iova - start < page.bytes).then_some((start, page))
    }

    /// Returns the first mapped address from `iova` on, below `end`.
    fn first_mapped(&self, iova: u64, end: u64) -> Option<u64> {
        if self.page_at(iova).is_some() {
            return Some(iova);
        }
        self.pages.range(iova..end).next().map(|(&start, _)| start)
    }

    /// Maps page by page, the largest first. If an address is in use, returns it, and the number of
    /// bytes before it that a map would have written.
    fn map(&mut self, sizes: u64, iova: u64, len: u64, page: Page) -> Result<(), (u64, u64)> {
        let mut new = Vec::new();
        let mut done = 0;
        while done < len {
            let (at, phys) = (iova + done, page.phys + done);
            let bytes = [GIGA, MEGA, PAGE]
                .into_iter()
                .find(|&size| {
                    sizes & size != 0 && at % size == 0 && phys % size == 0 && len - done >= size
                })
                .expect("a page of 4K always fits");
            if let Some(there) = self.first_mapped(at, at + bytes) {
                return Err((there, done));
            }
            new.push((
                at,
                Page {
                    bytes,
                    phys,
                    ..page
                },
            ));
            done += bytes;
        }
        self.pages.extend(new);
        Ok(())
    }

    /// Removes whole pages from `iova` on, up to a hole or the end.
    fn unmap(&mut self, iova: u64, len: u64) -> (u64, Option<UnmapStop>) {
        let mut done = 0;
        while done < len {
            match self.page_at(iova + done) {
                None => return (done, Some(UnmapStop::Hole)),
                Some((start, _)) if start != iova + done => {
                    return (done, Some(UnmapStop::InsideLeaf))
                }
                Some((start, page)) => {
                    self.pages.remove(&start);
                    done += page.bytes;
                }
            }
        }
        (done, None)
    }
}

/// A table, its memory, the unit that walks it, and the model of its contents.
pub(crate) struct Bench {
    pub(crate) arena: Arena,
    pub(crate) stage: PageTable<Arena>,
    pub(crate) unit: Unit,
    pub(crate) model: Model,
    pub(crate) retired: Vec<PageId>,
    /// Whether the flush of the last unmap was deferred.
    deferred: bool,
}

/// Checks what was said to be mapped against what an unmap removed.
fn check_memory(said: Option<(Vec<MemoryRun>, u64)>, bytes: u64, removed: Vec<Page>) {
    // It may be too much to remember, and an unmap may stop early.
    let Some((runs, _)) = said.filter(|(_, all)| *all == bytes) else {
        return;
    };
    let mut expected: Vec<MemoryRun> = Vec::new();
    for page in removed {
        match expected.last_mut() {
            Some(run) if run.start.raw() + run.bytes == page.phys => run.bytes += page.bytes,
            _ => expected.push(MemoryRun {
                start: PhysAddr::new(page.phys),
                bytes: page.bytes,
            }),
        }
    }
    assert_eq!(runs, expected, "other memory was mapped");
}

impl Bench {
    pub(crate) fn new(geometry: Geometry) -> Self {
        let arena = Arena::new(8192);
        let stage = PageTable::new(&arena, geometry).expect("a first page");
        let unit = Unit {
            aw: geometry.width.code(),
            host_bits: geometry.output_bits,
            large_2m: geometry.large_2m,
            large_1g: geometry.large_1g,
            snoop_control: geometry.snoop_control,
        };
        Self {
            arena,
            stage,
            unit,
            model: Model::default(),
            retired: Vec::new(),
            deferred: true,
        }
    }

    /// Maps only in the table.
    pub(crate) fn map_raw(&mut self, iova: u64, len: u64, page: Page) -> Result<(), MapFailed> {
        let access = Access::new(page.read, page.write).expect("some access");
        let prot = Prot {
            access,
            snoop: page.snoop,
        };
        let (arena, retired) = (&self.arena, &mut self.retired);
        let stage = &self.stage;
        let (iova, phys) = (Iova::new(iova), PhysAddr::new(page.phys));
        // In its three parts, as the driver does; other tests call the whole `map`.
        stage
            .map_fast(arena, iova, phys, len, prot)
            .or_else(|rest| stage.map_existing(arena, rest))
            .or_else(|rest| stage.map_slow(arena, rest, &mut |page| retired.push(page)))
    }

    /// Maps in table and model, which must agree on the outcome.
    pub(crate) fn map(&mut self, iova: u64, len: u64, page: Page) -> Result<(), MapFailed> {
        let sizes = self.stage.geometry().page_sizes();
        let got = self.map_raw(iova, len, page);
        let expected = self.model.map(sizes, iova, len, page);
        match expected {
            Ok(()) => assert_eq!(got, Ok(()), "map {iova:#x}+{len:#x}"),
            Err((there, undone)) => assert_eq!(
                got,
                Err(MapFailed {
                    error: MapError::AddressInUse {
                        iova: Iova::new(there)
                    },
                    undone
                }),
                "map {iova:#x}+{len:#x}"
            ),
        }
        self.collect();
        got
    }

    /// Unmaps in table and model, which must agree on the outcome.
    pub(crate) fn unmap(&mut self, iova: u64, len: u64) -> (u64, Option<UnmapStop>) {
        let (arena, retired) = (&self.arena, &mut self.retired);
        let (stage, at) = (&self.stage, Iova::new(iova));
        let memory = stage
            .mapped_memory(arena, at, len)
            .map(|memory| (memory.runs().to_vec(), memory.bytes()));
        let before = self.model.pages.clone();
        self.deferred = !self.deferred;
        let deferred = self.deferred;
        let page = deferred.then(|| stage.unmap_page(arena, at, len)).flatten();
        let got = page
            .map_or_else(|| stage.unmap_fast(arena, at, len), |_| Ok(len))
            .or_else(|rest| stage.unmap_existing(arena, rest))
            .map(|bytes| Unmapped { bytes, stop: None })
            .unwrap_or_else(|rest| stage.unmap_slow(arena, rest, &mut |page| retired.push(page)));
        let expected = self.model.unmap(iova, len);
        assert_eq!((got.bytes, got.stop), expected, "unmap {iova:#x}+{len:#x}");
        self.collect();
        let removed = before
            .iter()
            .filter(|(start, _)| !self.model.pages.contains_key(start));
        let removed: Vec<Page> = removed.map(|(_, page)| *page).collect();
        let is_page = removed.len() == 1 && len <= removed[0].bytes;
        assert!(
            !is_page || memory.is_some(),
            "the memory of one page is not known"
        );
        let is_small = deferred && is_page && removed[0].bytes == 1 << 12;
        assert_eq!(page.is_some(), is_small, "one page");
        let start = page.unwrap_or(PhysAddr::new(0));
        let run = MemoryRun { start, bytes: len };
        check_memory(page.map(|_| (vec![run], len)), expected.0, removed.clone());
        check_memory(memory, expected.0, removed);
        expected
    }

    /// Frees the retired pages, as the driver does after the invalidation.
    pub(crate) fn collect(&mut self) {
        for page in self.retired.drain(..) {
            self.arena.retire(page);
        }
    }

    /// Compares the table with the model in every respect.
    pub(crate) fn check(&self) {
        let (found, tables) = self.read_tree();
        assert_eq!(found, self.expected(), "hardware sees something else");
        let live: Vec<_> = self
            .arena
            .live()
            .into_iter()
            .map(|page| (page.phys(), u32::from(self.arena.level(page))))
            .collect();
        assert_eq!(
            tables.into_iter().collect::<Vec<_>>(),
            live,
            "tables that hardware reaches are not those in use"
        );
        assert_eq!(self.visited(), self.expected(), "visit sees something else");
        let starts: Vec<u64> = self.model.pages.keys().copied().take(64).collect();
        for start in starts {
            let bytes = self.model.pages[&start].bytes;
            for iova in [
                start.wrapping_sub(1),
                start,
                start + bytes / 2 + 7,
                start + bytes - 1,
                start + bytes,
            ] {
                self.check_address(iova);
            }
        }
    }

    /// Compares query, trace and hardware walk of one address with the model.
    pub(crate) fn check_address(&self, iova: u64) {
        crate::pgtable_trace::check(self, iova);
        let expected = self
            .model
            .page_at(iova)
            .map(|(start, page)| (page.phys + (iova - start), page));
        let query = self.stage.query(&self.arena, Iova::new(iova)).map(|t| {
            let page = Page {
                bytes: t.size.bytes(),
                phys: t.paddr.raw() - iova % t.size.bytes(),
                read: t.prot.access.reads(),
                write: t.prot.access.writes(),
                snoop: t.prot.snoop,
            };
            (t.paddr.raw(), page)
        });
        assert_eq!(query, expected, "query {iova:#x}");
        let read = |place| self.arena.hardware_read(place);
        for write in [false, true] {
            let walk = self.unit.translate(&read, self.top(), iova, write);
            let allowed = expected.filter(|(_, page)| if write { page.write } else { page.read });
            assert_eq!(
                walk.ok().map(|r| (r.phys, r.page_bytes, r.snoop)),
                allowed.map(|(phys, page)| (phys, page.bytes, page.snoop)),
                "walk {iova:#x}, write {write}"
            );
        }
    }

    pub(crate) fn top(&self) -> u64 {
        self.stage.top(&self.arena).phys()
    }

    /// Reads the whole tree as hardware sees it.
    pub(crate) fn read_tree(&self) -> (Vec<Found>, Tables) {
        let read = |place| self.arena.hardware_read(place);
        self.unit
            .everything(&read, self.top())
            .expect("a tree that hardware accepts")
    }

    fn expected(&self) -> Vec<Found> {
        self.model
            .pages
            .iter()
            .map(|(&iova, page)| Found {
                iova,
                phys: page.phys,
                bytes: page.bytes,
                read: page.read,
                write: page.write,
                snoop: page.snoop,
            })
            .collect()
    }

    fn visited(&self) -> Vec<Found> {
        let mut seen = Vec::new();
        let flow = self.stage.visit(&self.arena, Iova::new(0), &mut |visit| {
            let level = usize::from(visit.level.number());
            let leaf = visit.path[level - 1];
            assert!(visit.path[..level - 1].iter().all(|&entry| entry == 0));
            seen.push(Found {
                iova: visit.iova.raw(),
                phys: leaf & 0x000f_ffff_ffff_f000,
                bytes: 1 << (12 + 9 * (level - 1)),
                read: leaf & 1 != 0,
                write: leaf & 2 != 0,
                snoop: leaf & 0x800 != 0,
            });
            ControlFlow::Continue(())
        });
        assert_eq!(flow, ControlFlow::Continue(()));
        seen
    }

    /// Releases the table; every page must be retired once.
    pub(crate) fn release(mut self) {
        let (arena, retired) = (&self.arena, &mut self.retired);
        let top = self.stage.top(arena);
        self.stage.release(arena, &mut |page| retired.push(page));
        assert_eq!(self.retired.last(), Some(&top), "the top table comes last");
        for page in self.retired.drain(..) {
            self.arena.retire(page);
        }
        assert_eq!(self.arena.live(), [], "tables that were not released");
    }
}
