# SPDX-License-Identifier: GPL-2.0
"""Lines about faults, by vtd or by the in-tree driver, in the same words.

Both drivers report the same facts: requester, access, address, and the code of the
reason. The words here are those of vtd (src/core/describe/fault.rs; a test compares
them), whichever driver wrote the line.
"""

import dataclasses
import re

from vtdlab.evidence import decoder

LEGACY = {
    0x01: "no device of its bus has been attached (root entry not present)",
    0x02: "the device is not attached to any domain (context entry not present)",
    0x03: "its context entry is not valid",
    0x04: "the address is beyond the width of the unit or of the domain",
    0x05: "the page is not mapped for writing",
    0x06: "the page is not mapped for reading",
    0x07: "a page-table page could not be read",
    0x08: "the root table could not be read",
    0x09: "the context table could not be read",
    0x0A: "reserved bits are set in its root entry",
    0x0B: "reserved bits are set in its context entry",
    0x0C: "reserved bits are set in a page-table entry",
    0x0D: "its context entry does not allow this type of request",
}
INTERRUPT = {
    0x20: "reserved bits are set in the remappable interrupt request",
    0x21: "the interrupt index is beyond the remapping table",
    0x22: "the interrupt remapping entry is not present",
    0x23: "the interrupt remapping table could not be read",
    0x24: "reserved bits are set in the interrupt remapping entry",
    0x25: "compatibility-format interrupts are blocked",
    0x26: "the interrupt remapping entry belongs to another source-id",
}
SCALABLE_TABLES = {
    0x30: "the root table address is not valid",
    0x31: "a request with PASID came while the unit is in legacy mode",
    0x32: "a page request came while the unit is in legacy mode",
    0x38: "the root table could not be read (scalable mode)",
    0x39: "the scalable-mode root entry is not present",
    0x3A: "reserved bits are set in the scalable-mode root entry",
    0x40: "the context table could not be read (scalable mode)",
    0x41: "the scalable-mode context entry is not present",
    0x42: "reserved bits are set in the scalable-mode context entry",
    0x43: "the scalable-mode context entry is not valid",
    0x44: "its context entry does not allow device-TLB requests",
    0x45: "its context entry does not allow requests with PASID",
    0x46: "the PASID is above the limit of its context entry",
    0x47: "its context entry does not allow page requests",
    0x48: "the RID-PASID of its context entry is not valid",
    0x50: "the PASID directory could not be read",
    0x51: "the PASID directory entry is not present",
    0x52: "reserved bits are set in the PASID directory entry",
    0x58: "the PASID table could not be read",
    0x59: "the PASID is not attached to any domain (PASID entry not present)",
    0x5A: "reserved bits are set in the PASID entry",
    0x5B: "the PASID entry is not valid",
    0x5C: "its PASID entry does not allow execute requests",
    0x5D: "its PASID entry does not allow supervisor requests",
}
SCALABLE_PAGES = {
    0x70: "a first-stage table could not be read",
    0x71: "the page is not mapped (first stage)",
    0x72: "reserved bits are set in a first-stage entry",
    0x73: "the topmost first-stage table could not be read",
    0x74: "a first-stage table lies beyond the second stage's width",
    0x75: "the topmost first-stage table is not readable through the second stage",
    0x76: "a first-stage table is not readable through the second stage",
    0x77: "a first-stage table is not writable through the second stage",
    0x78: "a second-stage table could not be read",
    0x79: "the page is not mapped (second stage)",
    0x7A: "reserved bits are set in a second-stage entry",
    0x7B: "the second-stage table pointer is not valid",
    0x7C: "a second-stage accessed or dirty flag had to be set without snooping",
    0x80: "the address is not canonical (first stage)",
    0x81: "a user request reached a supervisor page (first stage)",
    0x82: "the page is not executable (first stage)",
    0x83: "the translated address is beyond the host's width",
    0x84: "the address is beyond the second stage's width",
    0x85: "the page is not mapped for writing (scalable mode)",
    0x86: "the page is not mapped for reading (scalable mode)",
    0x87: "the address is in the interrupt range",
    0x90: "a first-stage accessed or dirty flag had to be set without snooping",
}
WORDS = {**LEGACY, **INTERRUPT, **SCALABLE_TABLES, **SCALABLE_PAGES}
UNKNOWN = "a reason that this driver does not know"

# The usual cause.
_DRIVER = ("the device used an address that its driver did not map, mapped for the other "
           "direction only, or had unmapped already")
_DETACHED = ("the device was never attached, or it is blocked: by a claim of its group, or "
             "because its unit failed earlier")
_TABLES = "the unit could not parse the tables: an error of the driver or of the unit"
CAUSES = {
    **dict.fromkeys((0x05, 0x06, 0x71, 0x79, 0x85, 0x86), _DRIVER),
    **dict.fromkeys((0x01, 0x02, 0x39, 0x41, 0x59), _DETACHED),
    **dict.fromkeys((0x03, *range(0x07, 0x0D), 0x23, 0x24, 0x30, 0x38, 0x3A, 0x40, 0x42, 0x43,
                     0x48, 0x50, 0x52, 0x58, 0x5A, 0x5B, 0x70, 0x72, 0x73, 0x78, 0x7A, 0x7B), _TABLES),
    0x04: "a driver that does not use the DMA API, or did not get the limit from it",
    0x25: "an interrupt that was not remapped: sent before remapping was on, or forged",
    0x26: "an interrupt with another device's requester ID: from an unknown alias, or forged",
}

# FSTS (VT-d 11.4.9).
STATUS = ((0, "fault records were lost (PFO)"), (1, "fault records are filled (PPF)"),
          (2, "the advanced fault log overflowed (AFO)"), (3, "faults are in the log (APF)"),
          (4, "invalid descriptor in the queue (IQE)"), (5, "wrong invalidation completion (ICE)"),
          (6, "a device did not answer an invalidation (ITE)"))

BDF = r"(?P<bdf>(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])"
# vtd: a device, or a requester that is no device.
OURS = re.compile(
    r"vtd: (?P<unit>\S+): fault: (?P<noun>device|requester) " + BDF + r"(?P<who> \([^)]*\))?.*? "
    r"(?:(?P<access>read|write|execute|atomic|page request) of (?P<address>0x[0-9a-f]+)"
    r"|interrupt request (?:(?P<index>0x[0-9a-f]+)|in compatibility format))(?: \(PASID (?P<pasid>0x[0-9a-f]+)\))? refused: "
    r".*?\((?:VT-d [0-9.]+, )?reason (?P<reason>0x[0-9a-f]+)\)(?:[,;] (?P<rest>.*))?")
# In-tree: 7.3 and older kernels, which print decimal codes and bare addresses.
IN_TREE = re.compile(
    r"DMAR: ?\[(?:DMA (?P<access>Read|Write))(?: (?:NO_PASID|PASID (?P<pasid>0x[0-9a-f]+)))?\] "
    r"Request device \[" + BDF + r"\](?: PASID (?P<pasid2>[0-9a-f]+))? "
    r"fault addr (?P<address>(?:0x)?[0-9a-f]+)(?:\s+\[fault reason (?P<reason>0x[0-9a-f]+|\d+)\])?")
IN_TREE_INTERRUPT = re.compile(
    r"DMAR: ?\[INTR-REMAP\] Request device \[" + BDF + r"\] fault index (?P<index>(?:0x)?[0-9a-f]+)"
    r"\s+\[fault reason (?P<reason>0x[0-9a-f]+|\d+)\]")
IN_TREE_STATUS = re.compile(r"DMAR: DRHD: handling fault status reg (?P<status>[0-9a-f]+)")
IN_TREE_QUEUE = re.compile(
    r"DMAR: VT-d detected Invalidation (?P<what>Queue|Time-out|Completion) Error: "
    r"(?:Reason|SID) (?P<value>[0-9a-f]+)")
IN_TREE_DESCRIPTOR = re.compile(
    r"DMAR: QI (?P<which>HEAD|PRIOR): .*?qw0 = (?P<low>0x[0-9a-f]+), qw1 = (?P<high>0x[0-9a-f]+)")
QEMU = re.compile(r"vtd_dmar_fault sid (?P<sid>0x[0-9a-f]+) fault (?P<reason>\d+) "
                  r"addr (?P<address>0x[0-9a-f]+) write (?P<write>[01])")


@dataclasses.dataclass(frozen=True)
class Fault:
    """One refused request."""

    bdf: str                # with its segment
    access: str             # read, write, ..., or "" for an interrupt request
    address: int            # or the index of the interrupt; None in compatibility format
    reason: int             # -1 if the line does not have it
    pasid: int = None
    who: str = ""           # driver, group, owner
    rest: str = ""          # the rest of the line
    noun: str = "device"    # or a requester ID, of several devices or of none

    def __str__(self):
        if self.access:
            request = f"{self.access} of {self.address:#x}"
        elif self.address is None:
            request = "interrupt request in compatibility format"
        else:
            request = f"interrupt request {self.address:#x}"
        if self.pasid is not None:
            request += f" (PASID {self.pasid:#x})"
        text = f"{self.noun} {self.bdf}{self.who} {request} refused"
        if self.reason >= 0:
            text += f": {reason_words(self.reason)}"
        return text + (f", {self.rest}" if self.rest else "")

    @property
    def cause(self):
        """Returns the usual cause; "" if there is none."""
        return CAUSES.get(self.reason, "")


@dataclasses.dataclass(frozen=True)
class Note:
    """Any other information in a line about faults."""

    text: str
    cause: str = ""

    def __str__(self):
        return self.text


def section(reason):
    """Returns the section of the specification that lists a reason."""
    return "5.1.4.1" if 0x20 <= reason <= 0x2F else "7.1.3"


def reason_words(reason):
    """Returns a reason in words, with section and code."""
    return f"{WORDS.get(reason, UNKNOWN)} (VT-d {section(reason)}, reason {reason:#04x})"


def _source(sid):
    return f"0000:{sid >> 8:02x}:{sid >> 3 & 31:02x}.{sid & 7}"


def _bdf(text):
    return text if text.count(":") == 2 else f"0000:{text}"


def _code(text):
    # Codes without 0x are decimal: some kernels printed them so.
    return -1 if text is None else int(text, 0) if text.startswith("0x") else int(text, 10)


def _ours(m):
    access, pasid = m["access"] or "", m["pasid"]
    at = m["address"] or m["index"]
    return Fault(_bdf(m["bdf"]), access, int(at, 16) if at else None, _code(m["reason"]),
                 int(pasid, 16) if pasid else None, m["who"] or "", m["rest"] or "", m["noun"])


def _in_tree(m):
    pasid = m["pasid"] or m["pasid2"]
    value = int(pasid, 16) if pasid else None
    return Fault(_bdf(m["bdf"]), m["access"].lower(), int(m["address"], 16), _code(m["reason"]),
                 None if value == 0xFFFFFFFF else value)


def _interrupt(m):
    return Fault(_bdf(m["bdf"]), "", int(m["index"], 16), _code(m["reason"]))


def _status(m):
    status = int(m["status"], 16)
    said = [words for bit, words in STATUS if status >> bit & 1]
    return Note(f"a unit reports faults: {', '.join(said) or 'none'} (FSTS {status:#x}, VT-d 11.4.9)")


def _queue(m):
    value = int(m["value"], 16)
    words = {"Queue": "invalid descriptor in the queue (IQE)",
             "Time-out": "a device did not answer an invalidation (ITE)",
             "Completion": "wrong invalidation completion (ICE)"}[m["what"]]
    who = f"information {value:#x}" if m["what"] == "Queue" else f"device {_source(value)}"
    return Note(f"a unit's invalidation queue: {words}, {who} (VT-d 11.4.9)")


def _descriptor(m):
    low, high = int(m["low"], 16), int(m["high"], 16)
    which = "at its head" if m["which"] == "HEAD" else "before its head"
    return Note(f"the queue's descriptor {which}: {decoder.descriptor(low, high)}")


def _qemu(m):
    access = "write" if m["write"] == "1" else "read"
    return Fault(_source(int(m["sid"], 16)), access, int(m["address"], 16), int(m["reason"]))


READERS = ((OURS, _ours), (IN_TREE, _in_tree), (IN_TREE_INTERRUPT, _interrupt),
           (IN_TREE_STATUS, _status), (IN_TREE_QUEUE, _queue), (IN_TREE_DESCRIPTOR, _descriptor),
           (QEMU, _qemu))
# vtd's other lines about faults are sentences already.
PLAIN = re.compile(r"vtd: \S+: (?:fault: |its invalidation queue |.* (?:ITE|ICE)\))")


def logged(line):
    """Returns the Fault in a line of a driver's log, vtd's or the in-tree one's, or None."""
    if match := OURS.search(line):
        return _ours(match)
    if match := IN_TREE.search(line):
        return _in_tree(match)
    return None


def decode(line):
    """Returns a Fault or a Note, or None for any other line."""
    for pattern, reader in READERS:
        if match := pattern.search(line):
            return reader(match)
    if match := PLAIN.search(line):
        return Note(line[match.start() + len("vtd: "):].rstrip())
    return None
