// SPDX-License-Identifier: GPL-2.0

//! `vtd maps DEVICE`: what the device can reach, as ranges of I/O virtual addresses.
//!
//! The kernel shows a line for each leaf of the page table, which can be millions. They are merged
//! while they are read, so memory and output stay small.

use super::{Answer, Context};
use crate::bdf::Bdf;
use crate::collect::DEBUG;
use crate::error::{said, Result};
use crate::fail;
use crate::machine::{number, Machine};
use crate::table::columns;
use crate::text::{many, size, terminal};
use serde_json::json;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use vtd_core::spec::level::Level;
use vtd_core::spec::pte::{Access, DecodedEntry, Entry};

/// The most ranges that are kept; what is beyond is counted.
const MOST_RANGES: usize = 100_000;
/// The longest line that makes sense.
const LONGEST: u64 = 512;

/// Neighbouring pages with the same access.
#[derive(Debug, PartialEq)]
struct Range {
    first: u64,
    last: u64,
    access: Access,
    /// Where it is in memory; `None` if the pages are not neighbours there, too.
    memory: Option<u64>,
    /// The number of pages of 4 KiB, 2 MiB and 1 GiB.
    pages: [u64; 3],
}

#[derive(Default)]
struct Ranges {
    found: Vec<Range>,
    top: Option<u64>,
    /// Lines that are no leaves.
    odd: u64,
    left_out: u64,
    notes: Vec<String>,
}

impl Ranges {
    fn line(&mut self, line: &str) {
        let line = line.trim();
        if let Some((_, top)) = line.split_once('@').filter(|_| line.starts_with("Device ")) {
            self.top = number(top.trim());
        } else if line.starts_with('(') {
            self.notes.push(line.trim_matches(['(', ')']).to_owned());
        } else if !line.is_empty() && !line.starts_with("IOVA_PFN") && self.leaf(line).is_none() {
            self.odd += 1;
        }
    }

    /// Reads a line of the in-tree driver's format, which vtd has, too: the page number, and the
    /// entries of the levels from 5 down to that of the leaf. Older kernels fill the columns below a
    /// large leaf with zeros.
    fn leaf(&mut self, line: &str) -> Option<()> {
        let (page, entries) = line.split_once('|')?;
        let first = number(page.trim())?.checked_mul(4096)?;
        let entries: Vec<_> = entries.split_whitespace().map_while(number).collect();
        let leaf = entries.iter().rposition(|entry| *entry != 0)?;
        let number = 5u8.checked_sub(u8::try_from(leaf).ok()?)?;
        let raw = Entry::from_raw(*entries.get(leaf)?);
        let DecodedEntry::Leaf {
            address,
            size,
            access,
            ..
        } = raw.decode(Level::new(number)?)
        else {
            return None;
        };
        let last = first.checked_add(size.bytes() - 1)?;
        let mut pages = [0; 3];
        *pages.get_mut(usize::from(number) - 1)? = 1;
        self.add(Range {
            first,
            last,
            access,
            memory: Some(address.raw()),
            pages,
        });
        Some(())
    }

    fn add(&mut self, new: Range) {
        if let Some(before) = self.found.last_mut() {
            let is_next = before.last.checked_add(1) == Some(new.first);
            if is_next && before.access == new.access {
                let length = new.first - before.first;
                let follows = before.memory.and_then(|memory| memory.checked_add(length));
                before.memory = before.memory.filter(|_| follows == new.memory);
                before.last = new.last;
                for (sum, more) in before.pages.iter_mut().zip(new.pages) {
                    *sum += more;
                }
                return;
            }
        }
        if self.found.len() < MOST_RANGES {
            self.found.push(new);
        } else {
            self.left_out += 1;
        }
    }
}

pub fn access_word(access: Access) -> &'static str {
    match access {
        Access::Read => "r-",
        Access::Write => "-w",
        Access::ReadWrite => "rw",
    }
}

pub fn run(context: &Context, name: &str) -> Result<Answer> {
    let dump = context.dump()?;
    let machine = Machine::new(&dump);
    let (bdf, device) = super::why::find(&machine, name)?;
    if context.dump.is_some() {
        fail!("A dump has no page tables; run 'vtd maps {bdf}' on the machine itself.");
    }
    let mut ranges = Ranges::default();
    read(context, bdf, &mut ranges)?;
    let total: u64 = ranges.found.iter().map(|it| it.last - it.first + 1).sum();
    let state = match (ranges.found.is_empty(), device.attached.as_str()) {
        (true, "identity") => "reaches all of memory: it is in an identity domain.".to_owned(),
        (true, "blocked") => "reaches nothing: it is blocked.".to_owned(),
        (true, _) => "has nothing mapped.".to_owned(),
        (false, _) => format!(
            "reaches {} in {}:",
            size(total),
            many(ranges.found.len() as u64, "range")
        ),
    };
    let mut text = format!("{bdf} {state}\n");
    let rows: Vec<_> = ranges.found.iter().map(row).collect();
    text += &columns(&rows, terminal());
    let mut notes = ranges.notes.clone();
    if ranges.odd > 0 {
        notes.push(format!("{} could not be read", many(ranges.odd, "line")));
    }
    if ranges.left_out > 0 {
        notes.push(format!("{} more pages are not shown", ranges.left_out));
    }
    for note in &notes {
        text += &crate::text::wrap("Note: ", &format!("{note}."));
    }
    let json = json!({
        "device": bdf.to_string(),
        "attached": device.attached,
        "top_table": ranges.top.map(|top| format!("{top:#x}")),
        "bytes": total,
        "ranges": ranges.found.iter().map(|it| json!({
            "first": format!("{:#x}", it.first),
            "last": format!("{:#x}", it.last),
            "bytes": it.last - it.first + 1,
            "access": access_word(it.access),
            "memory": it.memory.map(|at| format!("{at:#x}")),
            "pages_4k": it.pages[0], "pages_2m": it.pages[1], "pages_1g": it.pages[2],
        })).collect::<Vec<_>>(),
        "notes": notes,
    });
    Ok(Answer {
        text,
        json,
        status: 0,
    })
}

fn row(range: &Range) -> Vec<String> {
    let sizes = ["4K", "2M", "1G"];
    let pages = range
        .pages
        .iter()
        .zip(sizes)
        .filter(|(count, _)| **count > 0);
    let pages: Vec<_> = pages
        .map(|(count, size)| format!("{count}x{size}"))
        .collect();
    let memory = range
        .memory
        .map_or("scattered".to_owned(), |at| format!("at {at:#x}"));
    vec![
        format!("{:#012x}-{:#012x}", range.first, range.last),
        size(range.last - range.first + 1),
        access_word(range.access).to_owned(),
        memory,
        pages.join(" "),
    ]
}

/// Reads the file of the device, line by line.
fn read(context: &Context, bdf: Bdf, ranges: &mut Ranges) -> Result<()> {
    let name = format!("{DEBUG}/iommu/intel/{bdf}/domain_translation_struct");
    let path = context.root.path(&name);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            fail!("Only root can read page tables (/{name}): sudo vtd maps {bdf}.")
        }
        Err(_) => return Err(missing(context, bdf)),
    };
    if !file.metadata().is_ok_and(|it| it.is_file()) {
        fail!("/{name} is no file.");
    }
    let mut reader = BufReader::new(file);
    loop {
        let mut line = Vec::new();
        let read = reader.by_ref().take(LONGEST).read_until(b'\n', &mut line);
        match read {
            Ok(0) => return Ok(()),
            Ok(_) => ranges.line(&String::from_utf8_lossy(&line)),
            Err(error) => fail!("/{name} cannot be read: {}.", said(&error)),
        }
    }
}

/// Returns why there is no such file.
fn missing(context: &Context, bdf: Bdf) -> crate::error::Error {
    let root = &context.root;
    let words = if !root.path(DEBUG).join("iommu").exists() && root.names(DEBUG).is_empty() {
        let is_denied = root.denied().iter().any(|name| name == DEBUG);
        if is_denied {
            format!("Only root can read page tables: sudo vtd maps {bdf}.")
        } else {
            "debugfs is not mounted: mount -t debugfs debugfs /sys/kernel/debug.".to_owned()
        }
    } else if root.exists("sys/kernel/vtd") {
        format!("{bdf} is behind no unit that vtd runs, so no table limits it.")
    } else {
        "The kernel's own driver shows page tables only if it was built with \
         CONFIG_INTEL_IOMMU_DEBUGFS, which this kernel was not (Debian's is not); vtd always shows \
         them."
            .to_owned()
    };
    crate::error::Error(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(lines: &[&str]) -> Ranges {
        let mut ranges = Ranges::default();
        lines.iter().for_each(|line| ranges.line(line));
        ranges
    }

    #[test]
    fn neighbours_are_merged() {
        let found = ranges(&[
            "Device 0000:00:05.0 with pasid 0 @0x1000",
            "IOVA_PFN\tPML5E",
            "0x00000000ffffe |\t0x0\t0x2003\t0x3003\t0x4003\t0x0000000000010003",
            "0x00000000fffff |\t0x0\t0x2003\t0x3003\t0x4003\t0x0000000000011003",
            "0x0000000100000 |\t0x0\t0x2003\t0x3003\t0x4003\t0x0000000000020001",
        ]);
        assert_eq!((found.top, found.odd), (Some(0x1000), 0));
        assert_eq!(found.found.len(), 2);
        assert_eq!(found.found[0].memory, Some(0x10000));
        assert_eq!(
            (found.found[0].first, found.found[0].last),
            (0xffff_e000, 0xffff_ffff)
        );
        assert_eq!(found.found[1].access, Access::Read);
    }

    #[test]
    fn large_pages_of_all_kernels() {
        let found = ranges(&[
            "0x0000000000200 |\t0x0\t0x2003\t0x3003\t0x0000000000400083\t0x0000000000000000",
            "0x0000000040000 |\t0x0\t0x2003\t0x0000000040000083\t0x0\t0x0",
            "0x0000000080000 |\t0x5003\t0x2003\t0x0000000080000081",
            "0x0000000000400 |\t0x0\t0x2003\t0x3003\t0x0000000000600083",
        ]);
        assert_eq!(found.odd, 0);
        let pages: Vec<_> = found.found.iter().map(|it| it.pages).collect();
        assert_eq!(pages, [[0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0]]);
    }

    #[test]
    fn lines_that_lie_are_counted() {
        let found = ranges(&[
            "0xffffffffffffffff |\t0x3",
            "| |",
            "0x1 |",
            "zzz",
            "0xfffffffffffff | 0x3 0x3 0x3 0x3 0x3 0x3 0x3",
            "0x1 |\t0x0\t0x2003\t0x3003",
        ]);
        assert_eq!((found.found.len(), found.odd), (0, 6));
    }
}
