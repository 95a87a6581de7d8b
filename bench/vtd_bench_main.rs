// SPDX-License-Identifier: GPL-2.0

//! Measures the IOMMU driver of this machine, whichever it is: only the kernel's interfaces are
//! used, which are the same for all drivers.
//!
//! User space writes the name of a measurement to debugfs `vtd_bench/run`, followed by an argument
//! if it has one, and reads the result from the same file: lines of `key=value` words.

#![deny(unsafe_code)]

mod descriptors;
mod device_tlbs;
mod devices;
mod dma;
mod fixture;
mod growth;
mod hold;
mod instructions;
mod profile;
mod report;
mod ticks;
mod units;
mod workload;

use core::fmt;
use hold::HeldState;
use kernel::debugfs;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::Mutex;
use kernel::uaccess::UserSliceReader;
use report::Report;

/// The maximum length in bytes of a line that is written.
const MAX_LINE: usize = 64;

/// The result of the last measurement, and the state that `hold` keeps.
struct Bench {
    report: Report,
    held: Option<HeldState>,
}

/// Runs the measurement that `line` names. After an error, the report has the lines up to it.
fn run(bench: &Mutex<Bench>, line: &mut UserSliceReader) -> Result {
    let mut text = [0u8; MAX_LINE];
    let text = text.get_mut(..line.len()).ok_or(EINVAL)?;
    line.read_slice(text)?;
    let text = core::str::from_utf8(text).map_err(|_| EINVAL)?.trim();
    let (name, word) = text.split_once(' ').unwrap_or((text, ""));

    let mut bench = bench.lock();
    let Bench { report, held } = &mut *bench;
    report.clear();
    match name {
        "instructions" => instructions::measure(report),
        "profile" => profile::measure(report, word),
        "descriptors" => descriptors::count(report),
        "dma" => dma::measure(report),
        "hold" => hold::hold(held, word),
        "pages" => hold::count_pages(report, word),
        "window" => profile::set_window(word),
        "growth" => growth::measure(report),
        "devices" => devices::measure(report),
        "device-tlbs" => device_tlbs::count(report),
        "units" => units::count(report),
        "units-time" => units::measure_time(report),
        _ => Err(EINVAL),
    }
}

fn show(bench: &Mutex<Bench>, to: &mut fmt::Formatter<'_>) -> fmt::Result {
    to.write_str(bench.lock().report.text())
}

struct BenchModule {
    // Dropped before its directory.
    _run: Pin<KBox<debugfs::File<Mutex<Bench>>>>,
    _folder: debugfs::Dir,
}

impl kernel::Module for BenchModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let folder = debugfs::Dir::new(c"vtd_bench");
        let bench = new_mutex!(Bench {
            report: Report::new(),
            held: None,
        });
        let file = folder.read_write_callback_file(c"run", bench, &show, &run);
        Ok(BenchModule {
            _run: KBox::pin_init(file, GFP_KERNEL)?,
            _folder: folder,
        })
    }
}

module! {
    type: BenchModule,
    name: "vtd_bench",
    authors: ["The vtd authors"],
    description: "Measures an IOMMU driver through the kernel's own interface",
    license: "GPL",
}
