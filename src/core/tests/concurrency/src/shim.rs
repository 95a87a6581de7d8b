// SPDX-License-Identifier: GPL-2.0

//! What the driver's files want of the kernel, made of loom's parts.

pub(crate) mod steps {
    //! What the driver's files do, counted: loads and stores of a word that is shared, locks,
    //! looks into a vector, invalidations.

    use std::cell::Cell;

    thread_local! {
        static TAKEN: Cell<u64> = const { Cell::new(0) };
    }

    pub(crate) fn step() {
        TAKEN.set(TAKEN.get() + 1);
    }

    /// How many steps `work` takes.
    pub(crate) fn of(work: impl FnOnce()) -> u64 {
        let before = TAKEN.get();
        work();
        TAKEN.get() - before
    }
}

pub(crate) mod atomic {
    //! Loom takes a store with SeqCst for a release. On x86 it is an exchange, which is a full
    //! barrier, and so is every read-modify-write: that is what the driver relies on.

    use super::steps::step;
    pub(crate) use loom::sync::atomic::{fence, AtomicBool, AtomicU64, AtomicU8, Ordering};

    pub(crate) struct AtomicU32(loom::sync::atomic::AtomicU32);

    impl AtomicU32 {
        pub(crate) fn new(value: u32) -> Self {
            Self(loom::sync::atomic::AtomicU32::new(value))
        }

        pub(crate) fn load(&self, order: Ordering) -> u32 {
            step();
            self.0.load(order)
        }

        pub(crate) fn store(&self, value: u32, order: Ordering) {
            step();
            self.0.store(value, order);
            barrier(order);
        }

        pub(crate) fn fetch_add(&self, value: u32, order: Ordering) -> u32 {
            step();
            let before = self.0.fetch_add(value, order);
            barrier(order);
            before
        }

        pub(crate) fn fetch_sub(&self, value: u32, order: Ordering) -> u32 {
            step();
            let before = self.0.fetch_sub(value, order);
            barrier(order);
            before
        }
    }

    fn barrier(order: Ordering) {
        if order == Ordering::SeqCst {
            fence(Ordering::SeqCst);
        }
    }
}

pub(crate) mod prelude {
    #[derive(Debug)]
    pub(crate) struct Error;

    pub(crate) const EINVAL: Error = Error;
    pub(crate) const ENOMEM: Error = Error;
    pub(crate) const ENOSPC: Error = Error;
    pub(crate) const GFP_KERNEL: () = ();

    pub(crate) type Result<T = (), E = Error> = core::result::Result<T, E>;

    impl From<core::num::TryFromIntError> for Error {
        fn from(_: core::num::TryFromIntError) -> Self {
            Error
        }
    }

    /// A vector whose growth is visible.
    pub(crate) struct KVec<T>(Vec<T>);

    impl<T> KVec<T> {
        pub(crate) fn new() -> Self {
            Self(Vec::new())
        }

        pub(crate) fn with_capacity(capacity: usize, _: ()) -> Result<Self> {
            Ok(Self(Vec::with_capacity(capacity)))
        }

        pub(crate) fn push(&mut self, value: T, _: ()) -> Result {
            self.0.push(value);
            Ok(())
        }

        pub(crate) fn push_within_capacity(&mut self, value: T) -> core::result::Result<(), T> {
            if self.0.len() == self.0.capacity() {
                return Err(value);
            }
            self.0.push(value);
            Ok(())
        }

        pub(crate) fn remove(&mut self, index: usize) -> core::result::Result<T, ()> {
            (index < self.0.len())
                .then(|| self.0.remove(index))
                .ok_or(())
        }
    }

    impl<T: Clone> KVec<T> {
        pub(crate) fn from_elem(value: T, count: usize, _: ()) -> Result<Self> {
            Ok(Self(vec![value; count]))
        }
    }

    impl<T> core::ops::Deref for KVec<T> {
        type Target = [T];
        fn deref(&self) -> &[T] {
            super::steps::step();
            &self.0
        }
    }

    impl<T> core::ops::DerefMut for KVec<T> {
        fn deref_mut(&mut self) -> &mut [T] {
            super::steps::step();
            &mut self.0
        }
    }

    impl<T> IntoIterator for KVec<T> {
        type Item = T;
        type IntoIter = std::vec::IntoIter<T>;
        fn into_iter(self) -> Self::IntoIter {
            self.0.into_iter()
        }
    }
}

pub(crate) mod lock {
    use loom::sync::{Mutex, MutexGuard};

    pub(crate) struct IrqSpinLock<T>(Mutex<T>);

    pub(crate) fn new<T>(value: T, _: &core::ffi::CStr) -> IrqSpinLock<T> {
        IrqSpinLock(Mutex::new(value))
    }

    impl<T> IrqSpinLock<T> {
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            super::steps::step();
            self.0.lock().unwrap()
        }
    }
}

pub(crate) mod clock {
    use std::cell::RefCell;
    use std::rc::Rc;

    thread_local! {
        // A model and all of its threads run in one thread.
        static MEANWHILE: RefCell<Option<Rc<dyn Fn()>>> = RefCell::default();
    }

    /// What happens whenever a thread of the model waits.
    pub(crate) fn meanwhile(what: Option<Rc<dyn Fn()>>) {
        MEANWHILE.with_borrow_mut(|it| *it = what);
    }

    pub(crate) fn relax() {
        loom::thread::yield_now();
        if let Some(what) = MEANWHILE.with_borrow(Clone::clone) {
            what();
        }
    }

    pub(crate) struct Deadline;

    impl Deadline {
        pub(crate) fn after_ms(_: u64) -> Self {
            Self
        }

        /// Time is patient here: loom ends what goes round for ever.
        pub(crate) fn wait_until(&self, mut condition: impl FnMut() -> bool) -> bool {
            while !condition() {
                relax();
            }
            true
        }
    }
}

pub(crate) mod pages {
    use super::prelude::Result;
    use loom::sync::atomic::{AtomicU64, Ordering};
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::sync::Arc;

    #[derive(Clone, Copy)]
    pub(crate) struct Gfp;

    impl Gfp {
        pub(crate) const KERNEL: Self = Self;
    }

    /// The first words of some pages; a processor and a unit see each other's stores in order.
    #[derive(Clone)]
    pub(crate) struct Pages {
        words: Arc<[AtomicU64; 9]>,
        phys: u64,
    }

    thread_local! {
        // A model and all of its threads run in one thread.
        static ALL: RefCell<HashMap<u64, Pages>> = RefCell::default();
    }

    /// Forgets all pages: a run of the model is over.
    pub(crate) fn forget_all() {
        ALL.with_borrow_mut(HashMap::clear);
    }

    /// What lies at an address.
    pub(crate) fn at(phys: u64) -> Pages {
        ALL.with_borrow(|all| all[&(phys & !0xfff)].clone())
    }

    impl Pages {
        pub(crate) fn new(_: i32, _: u32, _: Gfp) -> Result<Self> {
            let words = Arc::new(core::array::from_fn(|_| AtomicU64::new(0)));
            Ok(ALL.with_borrow_mut(|all| {
                let phys = (all.len() as u64 + 1) << 12;
                let pages = Self { words, phys };
                all.insert(phys, pages.clone());
                pages
            }))
        }

        pub(crate) fn phys(&self) -> u64 {
            self.phys
        }

        pub(crate) fn read(&self, index: usize) -> u64 {
            self.words[index].load(Ordering::Acquire)
        }

        pub(crate) fn write(&self, index: usize, value: u64) {
            self.words[index].store(value, Ordering::Release)
        }
    }
}

pub(crate) mod registers {
    use super::prelude::Result;
    use loom::sync::atomic::{AtomicU64, Ordering};
    use vtd_core::spec::registers::{Reg64, IQA, IQT};
    use vtd_core::spec::status::Gcmd;

    /// The two registers of a queue.
    pub(crate) struct UnitRegisters {
        pub(crate) tail: AtomicU64,
        pub(crate) address: AtomicU64,
        /// What hardware does when the tail is moved.
        pub(crate) on_tail: fn(&UnitRegisters),
        pub(crate) fetched: loom::sync::Mutex<u64>,
        /// A bit for each domain that was dropped.
        pub(crate) done: AtomicU64,
    }

    impl UnitRegisters {
        pub(crate) fn new(on_tail: fn(&UnitRegisters)) -> Self {
            Self {
                tail: AtomicU64::new(0),
                address: AtomicU64::new(0),
                on_tail,
                fetched: loom::sync::Mutex::new(0),
                done: AtomicU64::new(0),
            }
        }

        pub(crate) fn write64(&self, register: Reg64, value: u64) {
            match register.offset() {
                at if at == IQT.offset() => {
                    self.tail.store(value, Ordering::Release);
                    (self.on_tail)(self);
                }
                at if at == IQA.offset() => self.address.store(value, Ordering::Release),
                other => panic!("register {other:#x} is not of the queue"),
            }
        }

        pub(crate) fn command(&self, _: Gcmd, _: bool) -> Result {
            Ok(())
        }
    }
}

pub(crate) mod queue_errors {
    #[derive(Debug)]
    pub(crate) struct QueueFailure;

    #[derive(Default)]
    pub(crate) struct Errors;
}

pub(crate) mod run {
    use super::atomic::{AtomicU64, Ordering::Relaxed};
    pub(crate) use vtd_core::pgtable::run::{is_leaf, is_link};
    use vtd_core::pgtable::TableLevel;

    pub(crate) fn fill_run<L: TableLevel>(entries: &[AtomicU64], entry: u64) -> usize {
        let empty = entries
            .iter()
            .take_while(|slot| slot.load(Relaxed) == 0)
            .count();
        for (slot, number) in entries[..empty].iter().zip(0..) {
            slot.store((entry | L::LEAF_MARK) + number * L::SPAN, Relaxed);
        }
        empty
    }

    pub(crate) fn clear_run<L: TableLevel>(entries: &[AtomicU64]) -> usize {
        let leaves = entries
            .iter()
            .take_while(|slot| is_leaf::<L>(slot.load(Relaxed)))
            .count();
        entries[..leaves]
            .iter()
            .for_each(|slot| slot.store(0, Relaxed));
        leaves
    }
}

pub(crate) mod radix {
    use super::atomic::{AtomicU64, Ordering};
    use super::pages::Gfp;
    use loom::sync::Mutex;
    use vtd_core::pgtable::OutOfMemory;

    /// Fewer than there are: what the tests map lies in the first.
    pub(crate) const ENTRIES: usize = 4;

    pub(crate) struct Cells {
        entries: [AtomicU64; ENTRIES],
        /// What a unit sees that does not snoop. A line is written back by one processor at a
        /// time, which is the lock.
        hardware: Mutex<[u64; ENTRIES]>,
    }

    #[derive(Clone, Copy)]
    pub(crate) struct Table(&'static Cells);

    impl Table {
        pub(crate) fn entries(&self) -> &'static [AtomicU64; ENTRIES] {
            &self.0.entries
        }

        /// What a unit reads.
        pub(crate) fn hardware(&self, index: usize) -> u64 {
            self.0.hardware.lock().unwrap()[index]
        }
    }

    #[derive(Clone, Copy)]
    pub(crate) struct Tables;

    impl Tables {
        pub(crate) fn alloc(&self, _: Gfp) -> Result<Table, OutOfMemory> {
            // A page: the address is a link's. Tables of a model are few, and never freed.
            let cells = Page(Cells {
                entries: core::array::from_fn(|_| AtomicU64::new(0)),
                hardware: Mutex::new([0; ENTRIES]),
            });
            Ok(Table(&Box::leak(Box::new(cells)).0))
        }

        pub(crate) fn free(&self, _: Table) {}

        pub(crate) fn phys(&self, table: Table) -> u64 {
            core::ptr::from_ref(table.0) as u64
        }

        pub(crate) fn follow(&self, link: u64) -> Table {
            let address = link & 0x000f_ffff_ffff_f000;
            // SAFETY: Only links hold such addresses, and tables are never freed.
            Table(unsafe { &*(address as *const Cells) })
        }
    }

    pub(crate) fn write_back(table: Table, first: usize, count: usize) {
        let mut hardware = table.0.hardware.lock().unwrap();
        for index in first..(first + count).min(ENTRIES) {
            hardware[index] = table.0.entries[index].load(Ordering::Relaxed);
        }
    }

    #[repr(align(4096))]
    struct Page(Cells);
}

pub(crate) mod unit {
    use super::prelude::Result;
    use loom::sync::atomic::{AtomicU64, Ordering};
    use loom::sync::Mutex;
    use vtd_core::invalidation::{Range, Step};
    use vtd_core::spec::address::DomainId;
    use vtd_core::spec::capability::Capability;
    use vtd_core::spec::scope::IotlbScope;

    pub(crate) enum Request {
        Iotlb(IotlbScope),
    }

    /// A unit with one translation in its cache, and a table of one entry.
    pub(crate) struct Unit {
        pub(crate) id: u16,
        pub(crate) table: std::sync::Arc<AtomicU64>,
        cached: Mutex<u64>,
    }

    impl Unit {
        pub(crate) fn new(id: u16, table: std::sync::Arc<AtomicU64>) -> Self {
            Self {
                id,
                table,
                cached: Mutex::new(0),
            }
        }

        pub(crate) fn cap(&self) -> Capability {
            Capability::from_raw(0)
        }

        pub(crate) fn allocate_domain_id(&self) -> Result<DomainId> {
            Ok(DomainId::new(self.id))
        }

        pub(crate) fn free_domain_id(&self, _: DomainId) {}

        /// A request of an attached device: the entry is read and cached, at once.
        pub(crate) fn walk(&self) {
            let mut cached = self.cached.lock().unwrap();
            *cached = self.table.load(Ordering::Relaxed);
        }

        pub(crate) fn cached(&self) -> u64 {
            *self.cached.lock().unwrap()
        }

        pub(crate) fn forget(&self, id: DomainId, _: Range) {
            super::steps::step();
            if id.raw() == self.id {
                *self.cached.lock().unwrap() = 0;
            }
        }

        pub(crate) fn invalidate(&self, requests: &[Request]) -> Result {
            for Request::Iotlb(scope) in requests {
                if *scope == IotlbScope::Domain(DomainId::new(self.id)) {
                    *self.cached.lock().unwrap() = 0;
                }
            }
            Ok(())
        }

        pub(crate) fn perform(&self, _: impl Iterator<Item = Step>) -> Result {
            Ok(())
        }
    }
}
