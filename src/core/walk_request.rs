// SPDX-License-Identifier: GPL-2.0

//! The request that a user writes to debugfs to trace an address of a requester:
//! `0000:00:05.0 0xffffe000`.

use crate::spec::address::{Iova, Segment, SourceId};
use core::fmt;

/// A requester and an address whose translation is to be traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkRequest {
    /// The requester's segment.
    pub segment: Segment,
    /// The requester.
    pub source: SourceId,
    /// The address.
    pub iova: Iova,
}

/// Parses a number of 1 to `digits` hexadecimal digits.
fn parse_hex(text: &str, digits: usize) -> Option<u64> {
    let fits = (1..=digits).contains(&text.len());
    // `from_str_radix` would also accept a sign.
    if fits && text.bytes().all(|sign| sign.is_ascii_hexdigit()) {
        u64::from_str_radix(text, 16).ok()
    } else {
        None
    }
}

impl WalkRequest {
    /// Parses a requester, with or without its segment, and an address that begins with `0x`.
    ///
    /// Returns `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (requester, address) = (words.next()?, words.next()?);
        if words.next().is_some() {
            return None;
        }
        let (rest, function) = requester.rsplit_once('.')?;
        let (rest, device) = rest.rsplit_once(':')?;
        let (segment, bus) = rest.rsplit_once(':').unwrap_or(("0", rest));
        let source = SourceId::new(
            u8::try_from(parse_hex(bus, 2)?).ok()?,
            u8::try_from(parse_hex(device, 2)?).ok()?,
            u8::try_from(parse_hex(function, 1)?).ok()?,
        )?;
        Some(Self {
            segment: Segment::new(u16::try_from(parse_hex(segment, 4)?).ok()?),
            source,
            iova: Iova::new(parse_hex(address.strip_prefix("0x")?, 16)?),
        })
    }
}

impl fmt::Display for WalkRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} {:#x}", self.segment, self.source, self.iova)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn display_and_parse_are_inverse() {
        for (text, said) in [
            ("0000:00:05.0 0xffffe000", "0000:00:05.0 0xffffe000"),
            (" ff:1f.7\t0x0 \n", "0000:ff:1f.7 0x0"),
            ("10000:1:2.3 0x1", ""),
            (
                "a:1:2.3 0xFFFFFFFFFFFFFFFF",
                "000a:01:02.3 0xffffffffffffffff",
            ),
        ] {
            let request = WalkRequest::parse(text);
            let shown = request
                .map(|request| request.to_string())
                .unwrap_or_default();
            assert_eq!(shown, said, "{text}");
            assert_eq!(WalkRequest::parse(&shown), request);
        }
    }

    #[test]
    fn malformed_requests_are_rejected() {
        for text in [
            "",
            "0x1000",
            "00:05.0",
            "00:05.0 1000",
            "00:05.0 0x",
            "00:05.0 0x1000 0x2000",
            "00:05.8 0x1000",
            "00:20.0 0x1000",
            "00:5.-1 0x1000",
            "+0:05.0 0x1000",
            "00:05.0 0x+1",
            "00:05.0 0x10000000000000000",
            "0:0:0:05.0 0x1",
            ":00:05.0 0x1",
            "00:05 0x1",
            "00.05:0 0x1",
            "\u{ff10}0:05.0 0x1",
        ] {
            assert_eq!(WalkRequest::parse(text), None, "{text}");
        }
    }
}
