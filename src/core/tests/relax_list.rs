// SPDX-License-Identifier: GPL-2.0

//! Tests of `rmrr=`: the devices that users may have although firmware reserves memory for them.

use vtd_core::relax_list::{RelaxError, RelaxList};
use vtd_core::spec::address::{Segment, SourceId};

fn named(text: &str) -> Vec<(u16, u16)> {
    let list = RelaxList::parse(text).unwrap();
    let raw = |(segment, source): (Segment, SourceId)| (segment.raw(), source.raw());
    list.devices().map(raw).collect()
}

#[test]
fn devices_are_named_by_their_addresses() {
    assert_eq!(named(""), []);
    assert_eq!(named(" \n"), []);
    assert_eq!(named("relax:0000:03:00.0"), [(0, 0x300)]);
    assert_eq!(
        named("relax:0000:00:0d.1,relax:FFFF:ff:1f.7\n"),
        [(0, 0x69), (0xffff, 0xffff)]
    );
}

#[test]
fn only_named_devices_are_relaxed() {
    let list = RelaxList::parse("relax:0001:03:00.0,relax:0000:04:00.1").unwrap();
    let relaxes = |segment, bus, function| {
        let source = SourceId::new(bus, 0, function).unwrap();
        list.contains(Segment::new(segment), source)
    };
    assert!(relaxes(1, 3, 0) && relaxes(0, 4, 1));
    assert!(!relaxes(0, 3, 0) && !relaxes(1, 4, 1) && !relaxes(1, 3, 1));
}

#[test]
fn other_words_are_refused_by_name() {
    for word in [
        "0000:03:00.0",
        "relax",
        "relax:",
        "relax:all",
        "relax0000:03:00.0",
        "relax::0000:03:00.0",
        "relax:0000:03:00.0;relax:0000:04:00.0",
        "relax:03:00.0",
        "relax:0000:03:00",
        "relax:0000:03:00.8",
        "relax:0000:03:20.0",
        "relax:0000:3:00.0",
        "relax:00000:03:00.0",
        "relax:0000:+3:00.0",
        "relax:000g:03:00.0",
        "relax:0000:03:00.0.0",
        "relax:0000:03:00.0 ",
        "Relax:0000:03:00.0",
        "relax:0000:03:é.0",
    ] {
        let with_good = format!("relax:0000:01:00.0,{word},relax:0000:02:00.0");
        assert_eq!(RelaxList::parse(&with_good), Err(RelaxError(word)));
    }
    assert_eq!(RelaxList::parse(","), Err(RelaxError("")));
    assert!(RelaxError("x").to_string().starts_with("rmrr=x is not"));
}
