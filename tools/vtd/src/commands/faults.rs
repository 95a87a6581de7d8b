// SPDX-License-Identifier: GPL-2.0

//! `vtd faults [-f] [FILE...]`: the lines of a kernel log that are about faults, in plain words.

mod devices;

use super::{Answer, Context};
use crate::error::{said, Result};
use crate::fail;
use crate::fault_line::{Decoder, Line};
use crate::root::plain;
use crate::text::{many, wrap};
use serde_json::{json, Value};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

const KMSG: &str = "dev/kmsg";
/// A record of /dev/kmsg is at most this long.
const RECORD: usize = 8192;
const LONGEST_LINE: u64 = 1 << 16;
const MOST_COMPARED: usize = 1000;
/// EPIPE: records were overwritten before they were read.
const OVERWRITTEN: i32 = 32;
const O_NONBLOCK: i32 = 0o4000;
const POLL: Duration = Duration::from_millis(200);

pub struct Options {
    pub files: Vec<PathBuf>,
    pub follow: bool,
    pub all: bool,
    pub json: bool,
}

/// A line about faults, how often it came, and when.
struct Entry {
    line: Line,
    first: String,
    last: String,
    count: u64,
}

pub fn run(context: &Context, options: &Options) -> Result<Answer> {
    if options.follow {
        if !options.files.is_empty() {
            fail!("-f follows the kernel log, and takes no file; leave one of them out.");
        }
        return follow(context, options);
    }
    let decoder = Decoder::new();
    let mut entries = Vec::new();
    let mut take = |when: &str, text: &str| {
        let line = match decoder.decode(text) {
            Some(line) => line,
            None if options.all => Line::Other(text.trim_end().to_owned()),
            None => return,
        };
        // The whole log keeps its order.
        let equal = if options.all { 0 } else { MOST_COMPARED };
        add(&mut entries, line, when, equal);
    };
    if options.files.is_empty() {
        records(context, &mut take)?;
    }
    for path in &options.files {
        lines(path, &mut take)?;
    }
    let is_other = |entry: &Entry| matches!(entry.line, Line::Other(_));
    let is_without = entries.iter().all(is_other);
    let known = devices::known(context, options, &entries);
    let mut text = words(&entries, &known);
    if is_without {
        text += &wrap(
            "",
            "No line about a fault, by vtd or by the in-tree driver, was found.",
        );
    }
    let list: Vec<Value> = entries.iter().map(json_of).collect();
    Ok(Answer {
        text,
        json: json!({"lines": list, "devices": devices::json(&known)}),
        status: u8::from(is_without),
    })
}

/// Appends a line, or counts it with an equal one among the last `compared`.
fn add(entries: &mut Vec<Entry>, line: Line, when: &str, compared: usize) {
    let same = |entry: &&mut Entry| match (&entry.line, &line) {
        (Line::Fault(one), Line::Fault(other)) => one.repeats(other),
        (one, other) => one == other,
    };
    if let Some(entry) = entries.iter_mut().rev().take(compared).find(same) {
        entry.count += 1;
        when.clone_into(&mut entry.last);
        return;
    }
    entries.push(Entry {
        line,
        first: when.to_owned(),
        last: when.to_owned(),
        count: 1,
    });
}

fn json_of(entry: &Entry) -> Value {
    let mut value = entry.line.json();
    value["count"] = json!(entry.count);
    value["first"] = json!(entry.first);
    value["last"] = json!(entry.last);
    value
}

fn words(entries: &[Entry], known: &[devices::Known]) -> String {
    let mut explained = BTreeSet::new();
    let mut text = String::new();
    let mut faults = 0;
    for entry in entries {
        text += &one(entry, &mut explained);
        faults += if matches!(entry.line, Line::Fault(_)) {
            entry.count
        } else {
            0
        };
    }
    let walked = entries.iter().find_map(|entry| match &entry.line {
        Line::Fault(fault) if fault.is_ours && !fault.access.is_empty() => {
            Some((fault.bdf, fault.address?))
        }
        _ => None,
    });
    if faults > 1 {
        text += &format!("{} in all\n", many(faults, "refused request"));
    }
    text += &devices::words(known);
    if let Some((bdf, address)) = walked {
        text += "To see entry by entry why, on that machine:\n";
        text += &format!(
            "  vtd walk {bdf} {address:#x}
"
        );
    }
    text
}

fn one(entry: &Entry, explained: &mut BTreeSet<&'static str>) -> String {
    let label = format!("{:>12}  ", entry.first);
    if let Line::Other(text) = &entry.line {
        // A line of a file has its time.
        let label = if text.contains(&entry.first) {
            ""
        } else {
            &label
        };
        return format!("{label}{text}\n");
    }
    let times = match entry.count {
        1 => String::new(),
        count if entry.last.is_empty() => format!(" [{count} times]"),
        count => format!(" [{count} times, last at {}]", entry.last),
    };
    let mut text = wrap(&label, &format!("{}{times}", entry.line.words()));
    let cause = entry.line.cause();
    if !cause.is_empty() && explained.insert(cause) {
        text += &wrap(&" ".repeat(14), &format!("As a rule: {cause}."));
    }
    text
}

/// Reads a log, line by line; `-` is standard input.
fn lines(path: &PathBuf, take: &mut impl FnMut(&str, &str)) -> Result<()> {
    let shown = path.display();
    let reader: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        match File::open(path) {
            Ok(file) => Box::new(file),
            Err(error) => fail!("{shown} cannot be read: {}.", said(&error)),
        }
    };
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        match reader
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)
        {
            Ok(0) => return Ok(()),
            Ok(_) => {
                let text = plain(&line);
                take(&time_of(&text), text.trim_end());
            }
            Err(error) => fail!("{shown} cannot be read: {}.", said(&error)),
        }
    }
}

/// Returns the time in front of a line of dmesg, the journal or /dev/kmsg; empty if there is none.
fn time_of(line: &str) -> String {
    let rest =
        line.trim_start_matches(|sign: char| sign == '<' || sign == '>' || sign.is_ascii_digit());
    if let Some((time, _)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let time = time.trim();
        if time.starts_with(|sign: char| sign.is_ascii_digit()) {
            return time.to_owned();
        }
    }
    if let Some((head, _)) = line.split_once(';') {
        if let Some(time) = record_time(head) {
            return time;
        }
    }
    // Nov 29 22:44:01 host kernel: ...
    let head = line.split_once(" kernel: ").map_or("", |(head, _)| head);
    head.rsplit_once(' ')
        .map_or(String::new(), |(time, _)| time.to_owned())
}

/// Returns the time of a record's head: priority, number, microseconds.
fn record_time(head: &str) -> Option<String> {
    let mut fields = head.split(',');
    let _: u64 = fields.next()?.parse().ok()?;
    let _: u64 = fields.next()?.parse().ok()?;
    let time: u64 = fields.next()?.parse().ok()?;
    Some(format!("{}.{:06}", time / 1_000_000, time % 1_000_000))
}

fn open(context: &Context) -> Result<File> {
    let path = context.root.path(KMSG);
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open(&path);
    match opened {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => fail!(
            "Only root can read the kernel log here: sudo vtd faults, or give a file that has it."
        ),
        Err(error) => fail!(
            "{} cannot be read ({}); give a file that has the kernel log, or - for standard input.",
            path.display(),
            said(&error)
        ),
    }
}

/// Passes on the time and text of each record that is there; returns whether some were lost.
fn drain(file: &mut File, rest: &mut Vec<u8>, take: &mut impl FnMut(&str, &str)) -> Result<bool> {
    let mut lost = false;
    loop {
        let mut buffer = [0; RECORD];
        match file.read(&mut buffer) {
            Ok(0) => break,
            // A record is one read, unless the file was saved.
            Ok(read) => rest.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error() == Some(OVERWRITTEN) => lost = true,
            Err(error) => fail!("The kernel log cannot be read: {}.", said(&error)),
        }
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let text = plain(&line);
            // Lines that begin with a blank have the record's properties.
            if let Some((head, body)) = text.split_once(';').filter(|_| !text.starts_with(' ')) {
                take(&record_time(head).unwrap_or_default(), body.trim_end());
            }
        }
        if rest.len() > LONGEST_LINE as usize {
            rest.clear();
        }
    }
    Ok(lost)
}

fn records(context: &Context, take: &mut impl FnMut(&str, &str)) -> Result<()> {
    if context.dump.is_some() {
        fail!("A dump has no kernel log; give a file that has it: vtd faults FILE.");
    }
    let mut file = open(context)?;
    drain(&mut file, &mut Vec::new(), take).map(|_| ())
}

/// Prints each line when it comes, until the program is ended.
fn follow(context: &Context, options: &Options) -> Result<Answer> {
    let decoder = Decoder::new();
    let mut file = open(context)?;
    let mut rest = Vec::new();
    let mut explained = BTreeSet::new();
    loop {
        let mut said = String::new();
        let lost = drain(&mut file, &mut rest, &mut |when, text| {
            if let Some(line) = decoder.decode(text) {
                let when = when.to_owned();
                let entry = Entry {
                    line,
                    first: when.clone(),
                    last: when,
                    count: 1,
                };
                if options.json {
                    said += &format!("{}\n", json_of(&entry));
                } else {
                    said += &crate::text::shown(&one(&entry, &mut explained));
                }
            }
        })?;
        if lost && !options.json {
            said += "(some lines were overwritten before they could be read)\n";
        }
        let mut out = io::stdout().lock();
        let written = out.write_all(said.as_bytes()).and_then(|()| out.flush());
        match written {
            Ok(()) => {}
            // The reader has gone.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                return Ok(Answer {
                    text: String::new(),
                    json: Value::Null,
                    status: 0,
                })
            }
            Err(error) => fail!(
                "The output cannot be written: {}.",
                crate::error::said(&error)
            ),
        }
        sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (line, time) in [
            ("[   25.859987] vtd: x", "25.859987"),
            ("<3>[    1.5] x", "1.5"),
            ("3,594,4959444,-;vtd: x", "4.959444"),
            ("Nov 29 22:44:01 host kernel: vtd: x", "Nov 29 22:44:01"),
            ("[drm] x", ""),
            ("x", ""),
        ] {
            assert_eq!(time_of(line), time, "{line}");
        }
    }

    /// Records about a device have properties, in lines that begin with a blank.
    #[test]
    fn properties_are_no_lines() {
        let log = std::env::temp_dir().join(format!("vtd-kmsg-{}", std::process::id()));
        let text =
            "3,1,4959444,-;vtd: x\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00:05.0\n6,2,5000000,-;y\n";
        std::fs::write(&log, text).unwrap();
        let mut found = Vec::new();
        let mut take = |when: &str, text: &str| found.push(format!("{when} {text}"));
        drain(&mut File::open(&log).unwrap(), &mut Vec::new(), &mut take).unwrap();
        std::fs::remove_file(&log).unwrap();
        assert_eq!(found, ["4.959444 vtd: x", "5.000000 y"]);
    }
}
