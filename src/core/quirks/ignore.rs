// SPDX-License-Identifier: GPL-2.0

//! Which units the user wants to be left out: `ignore=` of the module.

use crate::dmar::Dmar;
use crate::spec::address::PhysAddr;
use core::fmt;

/// The user's words: addresses of register pages (`0xfed90000`) and `graphics`, with commas between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IgnoreList<'a> {
    text: &'a str,
}

/// A word that means nothing on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgnoreError<'a> {
    /// Neither an address nor `graphics`.
    Word(&'a str),
    /// Firmware lists no unit there.
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
    // from_str_radix() takes a sign.
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = u64::from_str_radix(digits, 16).ok()?;
    all_digits.then_some(PhysAddr::new(value))
}

impl<'a> IgnoreList<'a> {
    /// Nothing.
    pub const NOTHING: Self = Self { text: "" };

    /// What `text` says, of the units of `dmar`.
    ///
    /// # Errors
    ///
    /// The first word that means nothing.
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

    /// Whether units that serve graphics alone are to be left out.
    pub fn graphics(&self) -> bool {
        self.words().any(|word| word == GRAPHICS)
    }

    /// Whether the unit whose registers are at `base` is to be left out.
    pub fn contains(&self, base: PhysAddr) -> bool {
        self.words().any(|word| address(word) == Some(base))
    }
}
