// SPDX-License-Identifier: GPL-2.0

//! `vtd tree`, with its picture, and `vtd walk`.

mod common;

use common::{recorded, run, Scratch, Tree, DRIVERS};
use std::fs;

const GROUPS: &str = "\
group=3 owner=iommufd device=0000:00:05.0 driver=vfio-pci unit=dmar0 attached=unmanaged domain=#9 domain-id=5 faults=2
group=4 owner=nobody device=0000:00:06.0 driver=- unit=dmar0 attached=blocked domain=- domain-id=- faults=0
group=- owner=kernel device=0000:00:07.0 driver=ahci unit=- attached=untranslated domain=- domain-id=- faults=0
";
const DOMAINS: &str = "\
domain=#9 units=dmar0:5:1 mapped-bytes=3145728 unmapped-bytes=1048576 tables=4 leaves-2m=1 leaves-1g=0 lazy=no
domain=#11 units=- mapped-bytes=0 unmapped-bytes=0 tables=1 lazy=no
";

/// Draws a dump of these files; returns the text and the picture.
fn draw(driver: &str, files: &[(&str, &str)]) -> (String, String) {
    let scratch = Scratch::new();
    let about = format!("format 1\nkernel 7.3.4\ndriver {driver}\n");
    for (name, text) in [("about", about.as_str())].iter().chain(files) {
        let path = scratch.0.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    let picture = scratch.path("picture.svg");
    let dump = scratch.path("");
    let done = run(&["--dump", &dump, "tree", "--svg", &picture]);
    assert_eq!((done.status, done.err.as_str()), (0, ""));
    (done.out, fs::read_to_string(picture).expect("a picture"))
}

#[test]
fn every_device_is_drawn_once_below_its_bridge() {
    for driver in DRIVERS {
        let tree = Tree::new(driver);
        let picture = tree.scratch.path("machine.svg");
        let done = tree.run(&["tree", "--svg", &picture]);
        assert_eq!((done.status, done.err.as_str()), (0, ""));
        let drawn = fs::read_to_string(&picture).expect("a picture");
        for device in tree.names("sys/bus/pci/devices") {
            let lines: Vec<_> = done
                .out
                .lines()
                .filter(|line| line.contains(&device))
                .collect();
            assert_eq!(lines.len(), 1, "{device}: {lines:?}");
            assert!(drawn.contains(&format!(">{device}</text>")), "{device}");
        }
        let lines: Vec<_> = done.out.lines().collect();
        let port = lines
            .iter()
            .position(|line| line.contains("─ 0000:00:08.0"))
            .expect("a port");
        assert!(
            lines[port + 1].contains("└─ 0000:01:00.0"),
            "{}",
            lines[port + 1]
        );
        assert!(lines[port + 1].contains("NVMe disk") && lines[port + 1].contains("kernel"));
        assert!(drawn.ends_with("</svg>\n") && drawn.len() < 60 << 10);
        let dump = tree.save("dump.tar.gz");
        assert_eq!(run(&["--dump", &dump, "tree"]).out, done.out);
        let json = run(&["--dump", &dump, "--json", "tree"]).json();
        let devices = json["units"][0]["devices"].as_array().expect("a list");
        assert!(devices.len() > 10 && devices.iter().all(|device| device["group"].is_string()));
    }
}

#[test]
fn recorded_machines_are_drawn() {
    // The former programs, in Python, drew the same of them.
    for name in ["by-script", "client"] {
        let dump = recorded(name);
        let expected = fs::read_to_string(dump.replace("tar.gz", "tree")).expect("a file");
        let done = run(&["--dump", &dump, "tree"]);
        assert_eq!((done.status, done.err.as_str()), (0, ""));
        assert_eq!(done.out, expected, "{name}");
    }
}

#[test]
fn owners_are_distinguished() {
    let (text, picture) = draw(
        "vtd",
        &[
            ("vtd/groups", GROUPS),
            ("vtd/domains", DOMAINS),
            ("units/dmar0/version", "1:0"),
        ],
    );
    let line = |device: &str| {
        text.lines()
            .find(|line| line.contains(device))
            .expect("a line")
    };
    assert!(line("00:05.0").contains("user (iommufd)") && line("00:05.0").ends_with("2 faults"));
    assert!(line("00:05.0").contains("domain #9 (domain-id 5)"));
    assert!(line("00:05.0").contains("unmanaged, 2 MiB mapped, 4 tables, 1 large page"));
    assert!(line("00:06.0").contains("nobody") && line("00:06.0").contains("blocked"));
    assert!(line("00:06.0").ends_with("no fault"));
    assert!(text.contains("behind no unit: 0000:00:07.0"));
    assert!(text.contains("no device is in domain #11: nothing mapped, 1 table"));
    for words in [
        ">domain #9<",
        "domain-id dmar0:5",
        ">user (iommufd)<",
        ">reaches nothing<",
        ">2 faults<",
    ] {
        assert!(picture.contains(words), "{words}");
    }
    assert!(!picture.contains(">no fault<"));
}

#[test]
fn only_what_is_named_is_drawn() {
    let dump = recorded("client");
    let scratch = Scratch::new();
    let picture = scratch.path("picture.svg");
    for (names, devices, absent) in [
        (&["dmar0"][..], &["00:02.0"][..], "dmar1"),
        (&["7"], &["00:1f.0", "00:1f.2", "00:1f.3"], "dmar0"),
        (&["2", "01:00.0"], &["00:03.0", "01:00.0"], "00:04.0"),
        (&["0", "0000:00:05.0"], &["00:02.0", "00:05.0"], "00:06.0"),
    ] {
        let base = ["--dump", &dump, "--json", "tree", "--svg", &picture];
        let json = run(&[&base, names].concat()).json();
        let units = json["units"].as_array().expect("a list");
        let found: Vec<_> = units
            .iter()
            .flat_map(|unit| unit["devices"].as_array().expect("a list"))
            .map(|device| device["device"].as_str().expect("a name"))
            .collect();
        let wanted: Vec<_> = devices.iter().map(|name| format!("0000:{name}")).collect();
        assert_eq!(found, wanted, "{names:?}");
        let domains = json["domains"].as_array().expect("a list");
        assert!(domains.iter().all(|domain| domain["in_use"] == true));
        assert!(!domains.is_empty() && domains.len() <= found.len());
        let text = run(&[&["--dump", &dump, "tree"], names].concat()).out;
        let drawn = fs::read_to_string(&picture).expect("a picture");
        for shown in [&text, &drawn] {
            assert!(devices.iter().all(|name| shown.contains(name)), "{shown}");
            assert!(!shown.contains(absent), "{shown}");
        }
        // A bridge that is not named only shows the place.
        assert_eq!(
            text.contains("00:08.0     bridge\n"),
            names.len() == 2 && devices[1] == "01:00.0"
        );
        assert!(!text.contains("no device is in") && !text.contains("behind no unit"));
    }
    for (name, words) in [
        ("77", "neither a device"),
        ("dmar2", "a unit (dmar0, dmar1)"),
        ("00:05.1", "0000:00:05.0 exists"),
    ] {
        let said = run(&["--dump", &dump, "tree", "dmar0", name]).sentence(2);
        assert!(said.contains(words) && said.contains(name), "{said}");
    }
}

#[test]
fn the_entries_of_devices() {
    // src/report/debugfs/interrupts.rs writes this form.
    let entry = |index: u32| format!("{index:>5} 0000:00:06.0 vector 0x23 at 0x1, from 00:06.0\n");
    let interrupts = format!(
        "dmar0: remapped, devices isolated; on, table at 0x1000, 5 of 256 entries in use\n{}    8 \
         0000:00:04.0 absent, from 00:04.0\n",
        [1, 2, 3, 7].map(entry).concat()
    );
    let pci = "device=0000:00:04.0 class=0x010000 driver=virtio-pci group=2 path=/sys/devices/pci0000:00/0000:00:04.0\n";
    let groups = format!("{GROUPS}group=2 owner=kernel device=0000:00:04.0 driver=virtio-pci unit=dmar0 attached=DMA domain=#2 domain-id=2 faults=0\n");
    let (text, picture) = draw(
        "vtd",
        &[
            ("vtd/groups", &groups),
            ("pci", pci),
            ("units/dmar0/version", "1:0"),
            ("vtd/dmar0/interrupts", &interrupts),
        ],
    );
    assert!(
        text.contains("interrupts: remapped, devices isolated; on"),
        "{text}"
    );
    for (device, words) in [
        ("00:06.0", "interrupts 1-3, 7"),
        ("00:04.0", "interrupts 8"),
    ] {
        let line = text.lines().find(|line| line.contains(device));
        assert!(line.is_some_and(|line| line.ends_with(words)), "{text}");
        assert!(picture.contains(&format!(">{words}<")), "{words}");
    }
}

#[test]
fn a_group_may_be_lazy_before_a_flush_is_deferred() {
    let device = |bdf: &str, group: &str, domain: &str| {
        format!(
            "group={group} owner=kernel device={bdf} driver=nvme unit=dmar0 attached=DMA \
             domain={domain} domain-id=3 faults=0\n"
        )
    };
    let groups = [
        device("0000:00:03.0", "1", "#2"),
        device("0000:00:04.0", "2", "#3"),
        device("0000:00:05.0", "3", "#4"),
    ]
    .concat();
    let domains = "domain=#2 lazy=no\ndomain=#3 lazy=yes\ndomain=#4 lazy=no\n";
    let (text, picture) = draw(
        "vtd",
        &[
            ("vtd/groups", &groups),
            ("vtd/domains", domains),
            (
                "types",
                "group=1 type=DMA-FQ\ngroup=2 type=DMA-FQ\ngroup=3 type=DMA\n",
            ),
            ("units/dmar0/version", "1:0"),
        ],
    );
    for (device, words) in [
        ("00:03.0", "DMA, lazy, nothing deferred yet"),
        ("00:04.0", "DMA, lazy  no fault"),
        ("00:05.0", "DMA, strict"),
    ] {
        let line = text.lines().find(|line| line.contains(device));
        let line = line.expect("a line").split_whitespace().collect::<Vec<_>>();
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(line.join(" ").contains(&words), "{text}");
    }
    assert!(picture.contains("DMA, lazy, nothing deferred yet"));
}

#[test]
fn a_machine_without_a_driver() {
    let pci =
        "device=0000:00:05.0 class=0 driver=- group=- path=/sys/devices/pci0000:00/0000:00:05.0\n";
    let (text, picture) = draw("none", &[("pci", pci)]);
    assert_eq!(
        text,
        "no driver on Linux 7.3.4\n\nbehind no unit: 0000:00:05.0\n"
    );
    assert!(picture.contains("no driver on Linux 7.3.4"));
}

#[test]
fn a_domain_of_the_in_tree_driver_has_the_width_of_its_context_entry() {
    let pci = "device=0000:00:03.0 class=0x020000 driver=e1000e group=1 path=/sys/devices/pci0000:00/0000:00:03.0\n";
    let entry = |words: &str| {
        format!("IOMMU dmar0: Root Table Address: 0x1000\nB.D.F\tRoot\n00:03.0\t0x0000000000000000:0x0000000100001001\t{words}\n")
    };
    for (words, width) in [
        // Legacy, then a PASID table entry of the second stage, and of the first.
        (
            "0x0000000000000502:0x0000000100002001\t-1    \t0x0:0x0:0x0",
            "48 bits",
        ),
        (
            "0x0:0x0\t0\t0x0000000000000000:0x0000000000000005:0x0000000100002085",
            "39 bits",
        ),
        (
            "0x0:0x0\t0\t0x0000000000000004:0x0000000000000005:0x0000000000000041",
            "57 bits",
        ),
    ] {
        let (text, picture) = draw(
            "in-tree",
            &[
                ("pci", pci),
                ("types", "group=1 type=DMA-FQ\n"),
                ("units/dmar0/devices", "0000:00:03.0\n"),
                ("intel/dmar_translation_struct", &entry(words)),
            ],
        );
        assert!(text.contains("domain-id 5"), "{text}");
        assert!(
            picture.contains(&format!(">domain-id dmar0:5, {width}<")),
            "{words}"
        );
    }
}

#[test]
fn what_is_not_counted_is_unknown() {
    let pci = "device=0000:00:05.0 class=0x010802 driver=nvme group=3 path=/sys/devices/pci0000:00/0000:00:05.0\n";
    let (text, picture) = draw(
        "in-tree",
        &[("pci", pci), ("units/dmar0/devices", "0000:00:05.0\n")],
    );
    assert!(text.starts_with("the kernel's own driver on Linux 7.3.4\n"));
    assert!(text.contains("faults unknown") && picture.contains("faults unknown"));
    assert!(text.contains("kernel") && text.contains("└─ root bus 0000:00"));
}

#[test]
fn the_state_of_a_unit_is_shown() {
    for (state, style) in [("enabled", "s"), ("failed (all requesters blocked)", "f")] {
        let registers = format!("dmar0 at 0xfed90000, {state}\n");
        let (text, picture) = draw(
            "vtd",
            &[
                ("units/dmar0/address", "fed90000\n"),
                ("vtd/dmar0/registers", &registers),
            ],
        );
        assert!(text.contains(&format!("at fed90000, {state}")), "{text}");
        let shown = state.split(' ').next().expect("a word");
        assert!(picture.contains(&format!("class=\"{style}\" text-anchor=\"end\">{shown}")));
    }
}

#[test]
fn markup_stays_text() {
    let hostile = GROUPS.replace("driver=-", "driver=</text><script>&\"1\"</script>");
    let (_, picture) = draw(
        "vtd",
        &[("vtd/groups", &hostile), ("units/dmar0/version", "<&>")],
    );
    assert!(!picture.contains("<script") && picture.contains("&lt;/text&gt;"));
    assert!(picture.contains("VT-d &lt;&amp;&gt;"));
}

#[test]
fn a_path_of_any_length_is_drawn() {
    let path = "0000:00:01.0/".repeat(50_000);
    let pci =
        format!("device=0000:00:05.0 class=0 path=/sys/devices/pci0000:00/{path}0000:00:05.0\n");
    let (text, _) = draw(
        "vtd",
        &[("pci", &pci), ("units/dmar0/devices", "0000:00:05.0\n")],
    );
    assert!(text.contains("0000:00:05.0"));
}

#[test]
fn a_picture_that_cannot_be_written_is_a_sentence() {
    let tree = Tree::new("vtd");
    let said = tree.run(&["tree", "--svg", "/no/where/x.svg"]).sentence(2);
    assert!(said.contains("/no/where/x.svg cannot be written"), "{said}");
}

#[test]
fn a_walk_needs_the_module() {
    let tree = Tree::new("in-tree");
    let said = tree.run(&["walk", "00:05.0", "0x1000"]).sentence(2);
    assert!(said.contains("the module vtd loaded"), "{said}");
    assert!(!tree.path("sys/kernel/debug/vtd").exists());
    let dump = tree.save("dump.tar");
    let said = run(&["--dump", &dump, "walk", "00:05.0", "0x1000"]).sentence(2);
    assert!(said.contains("on the machine itself"), "{said}");
    // A file keeps what was written, so that the answer names the request.
    tree.write("sys/kernel/debug/vtd/walk", "");
    let done = tree.run(&["walk", "00:05.0", "0x1000"]);
    assert_eq!((done.status, done.out.as_str()), (0, "00:05.0 0x1000"));
    // Another program's walk is not accepted, as often as it comes.
    tree.remove("sys/kernel/debug/vtd/walk");
    std::os::unix::fs::symlink("/dev/null", tree.path("sys/kernel/debug/vtd/walk"))
        .expect("a link");
    let said = tree.run(&["walk", "00:05.0", "0x1000"]).sentence(2);
    assert!(said.contains("try again"), "{said}");
}
