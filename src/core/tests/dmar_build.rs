// SPDX-License-Identifier: GPL-2.0

//! Builds DMAR tables byte by byte, without the parser's help.

/// A table under construction.
pub(crate) struct Table {
    bytes: Vec<u8>,
}

impl Table {
    /// Creates a table with a host address width of `bits` and with `flags`.
    pub(crate) fn new(bits: u8, flags: u8) -> Self {
        let mut bytes = b"DMAR\0\0\0\0\x01\0VTDTESTVTDTEST1".to_vec();
        bytes.resize(36, 0);
        bytes.push(bits - 1);
        bytes.push(flags);
        bytes.resize(48, 0);
        Self { bytes }
    }

    pub(crate) fn with(mut self, structure: &[u8]) -> Self {
        self.bytes.extend_from_slice(structure);
        self
    }

    /// Returns the bytes with length and checksum set.
    pub(crate) fn seal(self) -> Vec<u8> {
        seal(self.bytes)
    }
}

/// Sets the length and the checksum of bytes that may be a table.
pub(crate) fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = bytes.len() as u32;
    if let Some(field) = bytes.get_mut(4..8) {
        field.copy_from_slice(&length.to_le_bytes());
    }
    if bytes.len() > 9 {
        bytes[9] = 0;
        bytes[9] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    }
    bytes
}

/// Returns a structure of `kind` with `body` after type and length.
pub(crate) fn structure(kind: u16, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let length = body.len() as u16 + 4;
    [&kind.to_le_bytes()[..], &length.to_le_bytes(), &body].concat()
}

pub(crate) fn drhd(include_all: bool, segment: u16, base: u64, scopes: &[Vec<u8>]) -> Vec<u8> {
    sized_drhd(include_all, 0, segment, base, scopes)
}

pub(crate) fn sized_drhd(
    include_all: bool,
    size: u8,
    segment: u16,
    base: u64,
    scopes: &[Vec<u8>],
) -> Vec<u8> {
    structure(
        0,
        &[
            &[u8::from(include_all), size],
            &segment.to_le_bytes(),
            &base.to_le_bytes(),
            &scopes.concat(),
        ],
    )
}

pub(crate) fn rmrr(segment: u16, base: u64, limit: u64, scopes: &[Vec<u8>]) -> Vec<u8> {
    structure(
        1,
        &[
            &[0, 0],
            &segment.to_le_bytes(),
            &base.to_le_bytes(),
            &limit.to_le_bytes(),
            &scopes.concat(),
        ],
    )
}

/// Returns an ATSR (2) or SATC (5): a flag, the segment, scopes.
pub(crate) fn flagged(kind: u16, flag: bool, segment: u16, scopes: &[Vec<u8>]) -> Vec<u8> {
    structure(
        kind,
        &[
            &[u8::from(flag), 0],
            &segment.to_le_bytes(),
            &scopes.concat(),
        ],
    )
}

pub(crate) fn rhsa(base: u64, proximity: u32) -> Vec<u8> {
    structure(3, &[&[0; 4], &base.to_le_bytes(), &proximity.to_le_bytes()])
}

pub(crate) fn andd(number: u8, name: &[u8]) -> Vec<u8> {
    structure(4, &[&[0, 0, 0, number], name])
}

pub(crate) const ENDPOINT: u8 = 1;
pub(crate) const BRIDGE: u8 = 2;

pub(crate) fn scope(kind: u8, id: u8, bus: u8, path: &[(u8, u8)]) -> Vec<u8> {
    let length = 6 + 2 * path.len() as u8;
    let mut bytes = vec![kind, length, 0, 0, id, bus];
    for (device, function) in path {
        bytes.extend([*device, *function]);
    }
    bytes
}

/// Returns one table with every structure and every kind of scope, and the end of each structure.
pub(crate) fn everything() -> (Vec<u8>, Vec<usize>) {
    let structures = [
        sized_drhd(
            false,
            1,
            0,
            0xfed9_0000,
            &[
                scope(ENDPOINT, 0, 0, &[(2, 0)]),
                scope(BRIDGE, 0, 0, &[(0x1c, 0), (3, 1)]),
            ],
        ),
        drhd(
            true,
            0,
            0xfed9_2000,
            &[
                scope(3, 8, 0xf0, &[(0x1f, 0)]),
                scope(4, 0, 0, &[(0x1f, 7)]),
                scope(5, 1, 0, &[(0x15, 0)]),
            ],
        ),
        drhd(true, 1, 0xfed9_4000, &[]),
        rmrr(
            0,
            0x7d00_0000,
            0x7d7f_ffff,
            &[scope(ENDPOINT, 0, 0, &[(2, 0)])],
        ),
        flagged(2, false, 0, &[scope(BRIDGE, 0, 0, &[(0x1c, 0)])]),
        rhsa(0xfed9_0000, 3),
        andd(1, b"\\_SB.PCI0.I2C0\0"),
        flagged(5, true, 0, &[scope(ENDPOINT, 0, 0, &[(4, 0)])]),
        flagged(6, false, 0, &[scope(ENDPOINT, 0, 0, &[(6, 0)])]),
        structure(0x7f, &[&[1, 2, 3]]),
    ];
    let mut table = Table::new(39, 0b111);
    let mut ends = Vec::new();
    for structure in &structures {
        table = table.with(structure);
        ends.push(table.bytes.len());
    }
    (table.seal(), ends)
}
