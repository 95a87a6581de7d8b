// SPDX-License-Identifier: GPL-2.0

//! The module parameter `rmrr=`: the devices that users may have although firmware reserves memory
//! for them.

use crate::spec::address::{Segment, SourceId};
use core::fmt;

/// The value of `rmrr=`: `relax:` and a PCI address (`relax:0000:03:00.0`), separated by commas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelaxList<'a> {
    text: &'a str,
}

/// A word of `rmrr=` that is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelaxError<'a>(pub &'a str);

impl fmt::Display for RelaxError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rmrr={} is not \"relax:\" and the PCI address of a device, such as relax:0000:03:00.0",
            self.0
        )
    }
}

/// Returns the number that `digits` hexadecimal digits give.
fn hexadecimal(text: &str, digits: usize) -> Option<u16> {
    // from_str_radix() accepts a sign.
    let valid = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then(|| u16::from_str_radix(text, 16).ok()).flatten()
}

fn device(word: &str) -> Option<(Segment, SourceId)> {
    let (segment, place) = word.strip_prefix("relax:")?.split_once(':')?;
    let (bus, place) = place.split_once(':')?;
    let (device, function) = place.split_once('.')?;
    let byte = |text, digits| u8::try_from(hexadecimal(text, digits)?).ok();
    let source = SourceId::new(byte(bus, 2)?, byte(device, 2)?, byte(function, 1)?)?;
    Some((Segment::new(hexadecimal(segment, 4)?), source))
}

impl<'a> RelaxList<'a> {
    /// Parses `text`.
    ///
    /// # Errors
    ///
    /// The first word that is not valid.
    pub fn parse(text: &'a str) -> Result<Self, RelaxError<'a>> {
        let list = Self { text: text.trim() };
        match list.words().find(|word| device(word).is_none()) {
            Some(word) => Err(RelaxError(word)),
            None => Ok(list),
        }
    }

    fn words(&self) -> impl Iterator<Item = &'a str> {
        let text = Some(self.text).filter(|text| !text.is_empty());
        text.into_iter().flat_map(|text| text.split(','))
    }

    /// Returns the devices that the list names.
    pub fn devices(&self) -> impl Iterator<Item = (Segment, SourceId)> + use<'a> {
        self.words().filter_map(device)
    }

    /// Returns whether the list names the device.
    pub fn contains(&self, segment: Segment, source: SourceId) -> bool {
        self.devices().any(|named| named == (segment, source))
    }
}
