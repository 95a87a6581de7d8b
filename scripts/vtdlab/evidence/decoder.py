# SPDX-License-Identifier: GPL-2.0
"""The meaning of VT-d's numbers: capabilities, descriptors, registers, fault reasons.

Written from QEMU's and the kernel's readings of the specification and deliberately
separate from the driver's own decoders, so that the two can disagree.
"""

FAULT_REASONS = {
    0x1: "the root entry is not present",
    0x2: "the context entry is not present",
    0x3: "the context entry is programmed wrongly",
    0x4: "the address is beyond the width of the domain",
    0x5: "the page may not be written",
    0x6: "the page may not be read",
    0x7: "a page-table entry could not be read",
    0x8: "a root entry could not be read",
    0x9: "a context entry could not be read",
    0xA: "reserved bits are set in a root entry",
    0xB: "reserved bits are set in a context entry",
    0xC: "reserved bits are set in a page-table entry",
    0xD: "the translation type of the context entry forbids this request",
    0x70: "a first-stage table could not be read",
    0x71: "the first-stage entry is not present",
    0x72: "reserved bits are set in a first-stage entry",
    0x80: "the address is not canonical",
    0x85: "the page may not be written (scalable mode)",
}

REGISTERS = {
    0x00: "VER", 0x08: "CAP", 0x10: "ECAP", 0x18: "GCMD", 0x1C: "GSTS", 0x20: "RTADDR",
    0x28: "CCMD", 0x34: "FSTS", 0x38: "FECTL", 0x3C: "FEDATA", 0x40: "FEADDR",
    0x44: "FEUADDR", 0x64: "PMEN", 0x80: "IQH", 0x88: "IQT", 0x90: "IQA", 0x9C: "ICS",
    0xA0: "IECTL", 0xB8: "IRTA", 0xF0: "IVA", 0xF8: "IOTLB",
}

# Global command register: bit, and what setting it requests.
COMMANDS = ((31, "translation on"), (30, "set the root-table pointer"),
            (27, "flush the write buffer"), (26, "queued invalidation on"),
            (25, "interrupt remapping on"), (24, "set the interrupt-remapping table"))

IOTLB_GRANULARITY = {1: "global", 2: "domain", 3: "pages"}
PASID_GRANULARITY = {2: "whole", 3: "pages"}
CONTEXT_GRANULARITY = {1: "global", 2: "domain", 3: "device"}
WIDTHS = {1: "39 bits (3 levels)", 2: "48 bits (4 levels)", 3: "57 bits (5 levels)"}


def field(value, low, width):
    """Returns `width` bits of a value, from bit `low`."""
    return value >> low & (1 << width) - 1


def fault_reason(code):
    """Returns a reason in words, with its code."""
    return f"{FAULT_REASONS.get(code, 'an unknown reason')} (reason {code:#04x})"


def descriptor_kind(low, high):
    """Returns the name by which a descriptor is counted."""
    del high
    kind = field(low, 0, 4)
    if kind == 1:
        return f"context-{CONTEXT_GRANULARITY.get(field(low, 4, 2), 'reserved')}"
    if kind == 2:
        return f"iotlb-{IOTLB_GRANULARITY.get(field(low, 4, 2), 'reserved')}"
    if kind == 6:
        return f"pasid-iotlb-{PASID_GRANULARITY.get(field(low, 4, 2), 'reserved')}"
    return {3: "device-tlb", 4: "interrupt-entry", 5: "wait", 7: "pasid-cache",
            8: "pasid-device-tlb", 9: "page-group-response"}.get(
                kind, f"type-{kind}")


def invalidation(low, high):
    """Returns the values of the trace event vtd:invalidate for a descriptor, as it shows them; None
    for a wait."""
    cache = {1: "context", 2: "iotlb", 3: "device-tlb", 4: "interrupt", 5: None, 6: "pasid-iotlb",
             7: "pasid"}.get(field(low, 0, 4), "other")
    if cache is None:
        return None
    domain = source = pasid = first = order = leaves = 0
    scopes = {"pasid": {0: "domain", 1: "pasid"}, "pasid-iotlb": {2: "pasid", 3: "selective"}}
    scope = scopes.get(cache, {2: "domain", 3: "selective"}).get(field(low, 4, 2), "global")
    if cache == "device-tlb":
        # The zero that ends the ones from bit 12 on gives the size, if bit 0 is set.
        order = (~(high >> 12) & -~(high >> 12)).bit_length() if high & 1 else 0
        scope, source, first = "selective", field(low, 32, 16), high & -1 << 12 + order
    elif cache == "interrupt":
        scope = "selective" if field(low, 4, 1) else "global"
        first, order = (field(low, 32, 16), field(low, 27, 5)) if field(low, 4, 1) else (0, 0)
    elif scope != "global":
        domain = field(low, 16, 16)
    if (cache, scope) == ("context", "selective"):
        source = field(low, 32, 16)
    if cache in scopes and scope in ("pasid", "selective"):
        pasid = field(low, 32, 20)
    if cache in ("iotlb", "pasid-iotlb") and scope == "selective":
        first, order, leaves = high & ~0xfff, field(high, 0, 6), field(high, 6, 1)
    name = f"{source >> 8:02x}:{source >> 3 & 31:02x}.{source & 7}"
    return cache, scope, str(domain), name, str(pasid), hex(first), str(order), str(leaves)


def descriptor(low, high):
    """Returns a descriptor in words."""
    kind = descriptor_kind(low, high)
    domain = field(low, 16, 16)
    if kind == "context-domain":
        return f"invalidate context cache of domain-id {domain}"
    if kind == "context-device":
        return (f"invalidate context cache of domain-id {domain}, source-id "
                f"{field(low, 32, 16):#06x}, function mask {field(low, 48, 2)}")
    if kind == "iotlb-domain":
        return f"invalidate IOTLB of domain-id {domain}"
    if kind == "iotlb-pages":
        pages = 1 << field(high, 0, 6)
        leaf = ", leaf entries only" if field(high, 6, 1) else ""
        return (f"invalidate IOTLB of domain-id {domain}, {pages} page"
                f"{'s' if pages > 1 else ''} from {high & ~0xfff:#x}{leaf}")
    if kind.startswith("pasid-iotlb-"):
        pasid = f"domain-id {domain}, PASID {field(low, 32, 20)}"
        if kind != "pasid-iotlb-pages":
            return f"invalidate PASID-based IOTLB of {pasid}"
        return (f"invalidate PASID-based IOTLB of {pasid}, {1 << field(high, 0, 6)} page(s) from "
                f"{high & ~0xfff:#x}{', leaf entries only' if field(high, 6, 1) else ''}")
    if kind == "wait":
        return _wait(low, high)
    return f"invalidate {kind.replace('-', ' ')} ({high:#018x} {low:#018x})"


def _wait(low, high):
    parts = []
    if field(low, 5, 1):
        parts.append(f"write {field(low, 32, 32):#x} to {high & ~3:#x}")
    if field(low, 4, 1):
        parts.append("raise the completion interrupt")
    if field(low, 6, 1):
        parts.append("fence")
    return f"wait: {', '.join(parts) or 'nothing requested'}"


def register_write(address, size, value):
    """Returns a register write in words."""
    base = max((known for known in REGISTERS if known <= address), default=0)
    name = REGISTERS.get(address)
    if name is None:
        width = 8 if REGISTERS.get(base) in ("RTADDR", "IQA", "IQT", "IVA", "IOTLB", "CCMD") else 4
        name = f"{REGISTERS[base]}+{address - base}" if address - base < width else f"{address:#x}"
    text = f"{name} = {value:#x}"
    if name == "GCMD":
        asked = [words for bit, words in COMMANDS if field(value, bit, 1)]
        text += f" ({', '.join(asked) or 'everything off'})"
    return f"{text} ({size * 8} bits)"


def capabilities(cap, ecap):
    """Returns (name, words) for the fields of CAP and ECAP."""
    yes = {0: "no", 1: "yes"}
    sagaw = field(cap, 8, 5)
    pages = [text for bit, text in ((0, "2 MiB"), (1, "1 GiB")) if field(cap, 34 + bit, 1)]
    rows = [
        ("domain ids", str(1 << 4 + 2 * field(cap, 0, 3))),
        ("address width", f"{field(cap, 16, 6) + 1} bits"),
        ("page tables", ", ".join(text for bit, text in WIDTHS.items() if field(sagaw, bit, 1))
         or "none"),
        ("page sizes", ", ".join(["4 KiB", *pages])),
        ("page-selective invalidation",
         f"up to {1 << field(cap, 48, 6)} pages in one request" if field(cap, 39, 1) else "no"),
        ("queued invalidation", yes[field(ecap, 1, 1)]),
        ("coherent page walks", yes[field(ecap, 0, 1)]),
        ("snoop control", yes[field(ecap, 7, 1)]),
        ("pass-through", yes[field(ecap, 6, 1)]),
        ("caching mode", yes[field(cap, 7, 1)]),
        ("write-buffer flush needed", yes[field(cap, 4, 1)]),
        ("fault records", str(field(cap, 40, 8) + 1)),
        ("protected memory regions",
         ", ".join(t for b, t in ((5, "low"), (6, "high")) if field(cap, b, 1)) or "none"),
        ("device-TLB support", yes[field(ecap, 2, 1)]),
        ("interrupt remapping", yes[field(ecap, 3, 1)]),
        ("scalable mode", yes[field(ecap, 43, 1)]),
    ]
    return rows
