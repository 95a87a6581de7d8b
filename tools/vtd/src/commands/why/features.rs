// SPDX-License-Identifier: GPL-2.0

//! What a device can do with translations by itself: ATS, PASID, page requests.

use crate::bdf::Bdf;
use crate::config_space::Feature;
use crate::firmware;
use crate::machine::{Device, Machine};

/// Returns ATS, PASID and page requests in words: has it, is it on, could the unit use it.
pub fn features(machine: &Machine<'_>, bdf: Bdf, device: &Device) -> Vec<(&'static str, String)> {
    let ecap = machine.units.get(&device.unit).and_then(|unit| unit.ecap());
    let Some(config) = device.config() else {
        let words = "unknown: only root can read configuration space";
        return vec![("ATS", words.to_owned()), ("PASID", words.to_owned())];
    };
    let words = |state: Feature, unit: Option<bool>| {
        let unit = match unit {
            None => "",
            Some(true) => "; its unit could serve it",
            Some(false) => "; its unit cannot serve it",
        };
        match state {
            Feature::None => "the device has none".to_owned(),
            Feature::On => "on".to_owned(),
            Feature::Off => format!("the device has it, off{unit}"),
        }
    };
    let mut found = vec![
        ("ATS", words(config.ats(), ecap.map(|it| it.device_tlb()))),
        ("PASID", words(config.pasid(), ecap.map(|it| it.pasid()))),
    ];
    if config.page_requests() != Feature::None {
        let state = words(config.page_requests(), ecap.map(|it| it.page_request()));
        found.push(("page requests", state));
    }
    if let (Some(Ok(dmar)), Feature::Off) = (firmware::table(machine), config.ats()) {
        let chain = firmware::chain(machine, bdf, device);
        let is_below_port = chain.len() > 1;
        let segment = bdf.vtd_segment();
        let takes = segment.is_some_and(|it| dmar.takes_translation_requests(it, &chain));
        let is_listed = segment.is_some_and(|it| dmar.has_device_tlb(it, &chain));
        found[0].1 += match (is_below_port, takes, is_listed) {
            (_, _, true) => "; firmware lists it (SATC)",
            (true, true, false) => "; firmware lists its root port (ATSR)",
            (true, false, false) => "; firmware lists no ATS for its root port (ATSR)",
            (false, _, false) => "",
        };
    }
    // What vtd has decided, and why.
    let decided = machine.dump.text("vtd/device_tlbs");
    let mut lines = decided.lines().filter_map(|line| line.split_once(' '));
    if let Some((_, state)) = lines.find(|(device, _)| *device == bdf.to_string()) {
        if let Some((_, why)) = state.split_once(", ") {
            found[0].1 += &format!("; vtd: {why}");
        }
    }
    found
}
