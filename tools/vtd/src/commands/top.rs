// SPDX-License-Identifier: GPL-2.0

//! `vtd top`: maps, unmaps and invalidations per second, and the share of time that was spent on
//! waiting for the units: what strict flushing costs on this machine.

use super::{Answer, Context};
use crate::collect::DEBUG;
use crate::error::Result;
use crate::fail;
use crate::table::columns;
use crate::text::{grouped, terminal, wrap};
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The counters of one unit.
type Counts = BTreeMap<String, u64>;

/// The counters of all units at one time.
pub struct Sample {
    units: BTreeMap<String, (Counts, Counts)>,
    at: Instant,
}

/// Upper ends of the ranges in which vtd counts waits, in nanoseconds.
const RANGES: [(&str, u64); 7] = [
    ("immediate", 0),
    ("below-1us", 1_000),
    ("below-10us", 10_000),
    ("below-100us", 100_000),
    ("below-1ms", 1_000_000),
    ("below-10ms", 10_000_000),
    ("longer", 100_000_000),
];

pub struct Options {
    pub interval: f64,
    pub count: Option<u64>,
    pub json: bool,
}

fn counts(text: &str) -> Counts {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .filter_map(|(name, value)| Some((name.trim().to_owned(), value.trim().parse().ok()?)))
        .collect()
}

fn sample(context: &Context) -> Sample {
    let at = Instant::now();
    let root = &context.root;
    let folder = format!("{DEBUG}/vtd");
    let units = root.names(&folder).into_iter().filter_map(|unit| {
        let file = |name: &str| root.text(&format!("{folder}/{unit}/{name}"));
        let found = (
            counts(&file("statistics")?),
            counts(&file("waits").unwrap_or_default()),
        );
        Some((unit, found))
    });
    Sample {
        units: units.collect(),
        at,
    }
}

/// What happened to a unit between two samples.
#[derive(Debug, PartialEq)]
pub struct Rates {
    /// Per second, by counter.
    per_second: BTreeMap<String, f64>,
    /// The share of one processor's time that was spent on waiting: at least and at most.
    waited: (f64, f64),
    /// The slowest range of waits that occurred.
    slowest: Option<String>,
}

/// Compares two samples of a unit that are `seconds` apart.
fn rates(before: &(Counts, Counts), after: &(Counts, Counts), seconds: f64) -> Rates {
    let grown = |before: &Counts, after: &Counts, name: &str| {
        let (from, to) = (before.get(name), after.get(name));
        // A counter that went back was reset by a new load.
        to.copied()
            .unwrap_or(0)
            .saturating_sub(from.copied().unwrap_or(0))
    };
    let per_second = after.0.keys().map(|name| {
        (
            name.clone(),
            grown(&before.0, &after.0, name) as f64 / seconds,
        )
    });
    let (mut least, mut most, mut slowest) = (0.0, 0.0, None);
    let mut lower = 0;
    for (name, upper) in RANGES {
        let times = grown(&before.1, &after.1, name);
        least += times as f64 * lower as f64;
        most += times as f64 * upper as f64;
        lower = upper;
        if times > 0 {
            slowest = Some(name.to_owned());
        }
    }
    let share = |ns: f64| ns / 1e9 / seconds;
    Rates {
        per_second: per_second.collect(),
        waited: (share(least), share(most)),
        slowest,
    }
}

pub fn run(context: &Context, options: &Options) -> Result<Answer> {
    if context.dump.is_some() {
        fail!("A dump is one moment; vtd diff A B compares two.");
    }
    if !(options.interval.is_finite() && (0.1..=3600.0).contains(&options.interval)) {
        fail!(
            "An interval of {} s makes no sense; give 0.1 to 3600.",
            options.interval
        );
    }
    let mut before = sample(context);
    if before.units.is_empty() {
        return Err(nothing_to_count(context));
    }
    let mut left = options.count;
    loop {
        sleep(Duration::from_secs_f64(options.interval));
        let after = sample(context);
        if after.units.is_empty() {
            fail!("vtd was unloaded.");
        }
        let seconds = after.at.duration_since(before.at).as_secs_f64();
        let found: BTreeMap<_, _> = after
            .units
            .iter()
            .filter_map(|(name, unit)| Some((name, rates(before.units.get(name)?, unit, seconds))))
            .collect();
        left = left.map(|left| left.saturating_sub(1));
        let is_last = left == Some(0);
        let json = json_of(&found, seconds);
        let text = words(&found);
        if !show(&text, &json, options.json)? || is_last {
            return Ok(Answer {
                text: String::new(),
                json: Value::Null,
                status: 0,
            });
        }
        before = after;
    }
}

/// Prints one of several samples; returns whether there is still a reader.
fn show(text: &str, json: &Value, as_json: bool) -> Result<bool> {
    let clear = if io::stdout().is_terminal() {
        "\x1b[H\x1b[J"
    } else {
        ""
    };
    let shown = if as_json {
        format!("{json}\n")
    } else {
        format!("{clear}{text}\n")
    };
    let mut out = io::stdout().lock();
    match out.write_all(shown.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => fail!(
            "The output cannot be written: {}.",
            crate::error::said(&error)
        ),
    }
}

fn nothing_to_count(context: &Context) -> crate::error::Error {
    let root = &context.root;
    let words = if root.denied().iter().any(|name| name.starts_with(DEBUG)) {
        "Only root can read the counters: sudo vtd top."
    } else if root.exists("sys/kernel/vtd") {
        "vtd runs, but its counters are not there: mount -t debugfs debugfs /sys/kernel/debug, on \
         a kernel with CONFIG_DEBUG_FS."
    } else {
        "vtd does not run here, and the kernel's own driver counts neither maps nor invalidations; \
         perf stat -e iommu:map -e iommu:unmap counts some of them."
    };
    crate::error::Error(words.to_owned())
}

fn share(value: f64) -> String {
    let percent = value * 100.0;
    if percent >= 10.0 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.2} %")
    }
}

fn words(found: &BTreeMap<&String, Rates>) -> String {
    let names = ["maps", "unmaps", "descriptors", "waits", "faults"];
    let mut rows = vec![[
        "unit", "maps/s", "unmaps/s", "descr./s", "waits/s", "faults/s", "waited",
    ]
    .map(str::to_owned)
    .to_vec()];
    let mut slowest = String::new();
    for (unit, rates) in found {
        let mut row = vec![(*unit).clone()];
        for name in names {
            let value = rates.per_second.get(name);
            row.push(value.map_or("?".to_owned(), |value| grouped(value.round() as u64)));
        }
        let (least, most) = rates.waited;
        row.push(if least == most {
            share(most)
        } else {
            format!("{} to {}", share(least), share(most))
        });
        rows.push(row);
        if let Some(name) = &rates.slowest {
            let _ = write!(slowest, "{unit}: slowest wait {}. ", name.replace('-', " "));
        }
    }
    let mut text = columns(&rows, terminal());
    if !slowest.is_empty() {
        text += &wrap("", &slowest);
    }
    text
}

fn json_of(found: &BTreeMap<&String, Rates>, seconds: f64) -> Value {
    let units: Vec<_> = found
        .iter()
        .map(|(unit, rates)| {
            json!({
                "unit": unit,
                "per_second": rates.per_second,
                "waited_at_least": rates.waited.0,
                "waited_at_most": rates.waited.1,
                "slowest_wait": rates.slowest,
            })
        })
        .collect();
    json!({"seconds": seconds, "units": units})
}

/// `vtd metrics`: all counters, in the text format of Prometheus.
pub fn metrics(context: &Context) -> Result<Answer> {
    let dump = context.dump()?;
    let machine = crate::machine::Machine::new(&dump);
    let mut text = String::new();
    let mut families: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
    let mut add = |name: &str, labels: String, value: u64| {
        families
            .entry(name.to_owned())
            .or_default()
            .push((labels, value));
    };
    for (name, unit) in &machine.units {
        for (counter, value) in &unit.counts {
            let counter = counter.replace('-', "_");
            add(
                &format!("vtd_{counter}_total"),
                format!("unit=\"{}\"", label(name)),
                *value,
            );
        }
        for (range, value) in &unit.waits {
            let labels = format!("unit=\"{}\",range=\"{}\"", label(name), label(range));
            add("vtd_waits_by_duration_total", labels, *value);
        }
    }
    for (bdf, device) in &machine.devices {
        if let Some(faults) = device.faults {
            add(
                "vtd_device_faults_total",
                format!("device=\"{bdf}\""),
                faults,
            );
        }
    }
    for (name, lines) in &families {
        let _ = writeln!(text, "# TYPE {name} counter");
        for (labels, value) in lines {
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
    }
    let driver = &dump.driver;
    let _ = writeln!(
        text,
        "# TYPE vtd_driver gauge\nvtd_driver{{driver=\"{}\"}} 1",
        label(driver)
    );
    let json = json!({"driver": driver, "families": families});
    Ok(Answer {
        text,
        json,
        status: 0,
    })
}

/// Returns text as the value of a label.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_rates() {
        let before = (
            counts("maps: 10\nfaults: 5\n"),
            counts("immediate: 1\nbelow-10us: 0\n"),
        );
        let after = (
            counts("maps: 30\nfaults: 1\nnew-one: 4\nbad: x\n"),
            counts("immediate: 9\nbelow-10us: 100000\n"),
        );
        let found = rates(&before, &after, 2.0);
        assert_eq!(found.per_second["maps"], 10.0);
        assert_eq!(found.per_second["faults"], 0.0);
        assert_eq!(found.per_second["new-one"], 2.0);
        // 100000 waits of 1 to 10 us in 2 s.
        assert_eq!(found.waited, (0.05, 0.5));
        assert_eq!(found.slowest.as_deref(), Some("below-10us"));
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(label("a\"b\\"), "a\\\"b\\\\");
    }
}
