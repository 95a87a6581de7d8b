// SPDX-License-Identifier: GPL-2.0

//! The module parameter `ignore=`: the units that the user wants to be left out.

use crate::dmar::Dmar;
use crate::spec::address::PhysAddr;
use core::fmt;

/// The value of `ignore=`: addresses of register pages (`0xfed90000`) and `graphics`, separated by
/// commas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IgnoreList<'a> {
    text: &'a str,
}

/// A word of `ignore=` that is not valid on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgnoreError<'a> {
    /// The word is neither an address nor `graphics`.
    Word(&'a str),
    /// Firmware lists no unit at this address.
    NoUnit(PhysAddr),
}

impl fmt::Display for IgnoreError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(
                f,
                "ignore={word} is neither \"graphics\" nor a hexadecimal address of a unit's \
                 registers, such as 0xfed90000"
            ),
            Self::NoUnit(base) => write!(
                f,
                "ignore={base}: the DMAR table has no unit with its registers there"
            ),
        }
    }
}

const GRAPHICS: &str = "graphics";

fn address(word: &str) -> Option<PhysAddr> {
    let digits = word.strip_prefix("0x").or(word.strip_prefix("0X"))?;
    // from_str_radix() accepts a sign.
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = u64::from_str_radix(digits, 16).ok()?;
    all_digits.then_some(PhysAddr::new(value))
}

impl<'a> IgnoreList<'a> {
    /// The empty list.
    pub const NOTHING: Self = Self { text: "" };

    /// Parses `text` and checks its addresses against the units of `dmar`.
    ///
    /// # Errors
    ///
    /// The first word that is not valid.
    pub fn parse(text: &'a str, dmar: &Dmar<'_>) -> Result<Self, IgnoreError<'a>> {
        let ignore = Self { text: text.trim() };
        for word in ignore.words() {
            if word == GRAPHICS {
                continue;
            }
            let base = address(word).ok_or(IgnoreError::Word(word))?;
            if !dmar.units().any(|unit| unit.register_base == base) {
                return Err(IgnoreError::NoUnit(base));
            }
        }
        Ok(ignore)
    }

    fn words(&self) -> impl Iterator<Item = &'a str> {
        let text = Some(self.text).filter(|text| !text.is_empty());
        text.into_iter().flat_map(|text| text.split(','))
    }

    /// Returns whether units that serve only graphics are to be left out.
    pub fn graphics(&self) -> bool {
        self.words().any(|word| word == GRAPHICS)
    }

    /// Returns whether the list names the unit whose registers are at `base`.
    pub fn contains(&self, base: PhysAddr) -> bool {
        self.words().any(|word| address(word) == Some(base))
    }
}
