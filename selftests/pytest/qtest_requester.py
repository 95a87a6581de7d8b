# SPDX-License-Identifier: GPL-2.0
"""A vtd-requester (selftests/qemu) on a machine of qtest.py, and a unit in legacy or scalable mode."""

import contextlib

import qtest
from qtest import ECAM, FIRST_UNIT, IOVA, Machine, Unit

# Registers and what they have; Documentation/qemu-units.rst describes them.
REGISTERS = ("magic", "command", "status", "address", "value", "pasid", "flags", "count", "done",
             "translation", "mask", "permissions", "group", "answers", "delay", "kept",
             "translated", "blocked_translated", "blocked_translations", "blocked_interrupts",
             "messages", "blocked_pasids")
READ, WRITE, TRANSLATE, REQUEST_PAGES, INTERRUPT, DISCARD = range(1, 7)
COMPLETE, REFUSED, BLOCKED, NOT_KEPT, NOT_ENABLED, INVALID, QUEUE_FULL = range(7)
(WITH_PASID, FOR_WRITE, PRIVILEGED, USE_KEPT, AS_TRANSLATED, UNCHECKED,
 LAST_OF_GROUP, FOUR_BYTES) = (1 << bit for bit in range(8))
PROMPT, IGNORE, LATE, NEVER = range(4)
INVALIDATION, PAGE_RESPONSE = 1, 2
LOG, MESSAGES = 0x800, 64
NO_PASID = 0xFFFFFFFF
# Its configuration space: a register, and the ids of extended capabilities.
COMMAND, MASTER = 0x04, 6
EXTENDED, ATS, PASID, PRI = 0x100, 0x0F, 0x1B, 0x13
SOURCE, BAR = 0x0020, 0xE0000000


class Requester:
    """A vtd-requester that was started, with its capabilities enabled as far as it has them."""

    def __init__(self, machine, source=SOURCE, bar=BAR):
        self.machine, self.source, self.bar = machine, source, bar
        self.start()

    def start(self):
        """Starts it, also after a reset."""
        self.machine.start_device(self.source, self.bar)
        capabilities = self.capabilities()
        if ATS in capabilities:
            self.configure(capabilities[ATS] + 4, 1 << 31)
        if PASID in capabilities:
            self.configure(capabilities[PASID] + 4, 7 << 16)
        if PRI in capabilities:
            self.configure(capabilities[PRI] + 12, 32)
            self.configure(capabilities[PRI] + 4, 1)

    def capabilities(self):
        """Returns the places of its extended capabilities, by their ids."""
        found, at = {}, EXTENDED
        while at and (header := self.configuration(at)):
            found[header & 0xFFFF] = at
            at = header >> 20
        return found

    def configuration(self, at):
        """Reads four bytes of its configuration space."""
        return self.machine.read(ECAM + (self.source << 12) + at, 4)

    def configure(self, at, value):
        """Writes four bytes of its configuration space."""
        self.machine.write(ECAM + (self.source << 12) + at, value, 4)

    def get(self, name):
        """Reads a register."""
        return self.machine.read(self.bar + 8 * REGISTERS.index(name))

    def set(self, name, value):
        """Writes a register."""
        self.machine.write(self.bar + 8 * REGISTERS.index(name), value)

    def run(self, command, address=IOVA, pasid=None, flags=0, **registers):
        """Runs a command and returns the status."""
        self.set("address", address)
        self.set("pasid", pasid or 0)
        self.set("flags", flags | (WITH_PASID if pasid is not None else 0))
        for name, value in {"count": 1, **registers}.items():
            self.set(name, value)
        self.set("command", command)
        return self.get("status")

    def messages(self):
        """Returns what the unit sent since the last time: kind, PASID, value, and what follows."""
        count = self.get("messages")
        assert count <= MESSAGES
        self.set("messages", 0)
        return [tuple(self.machine.read(self.bar + LOG + 32 * message + 8 * word)
                      for word in range(4)) for message in range(count)]


SCALABLE = "scalable-mode=on,pasid-bits=20"
FIRST_STAGE = f"{SCALABLE},fsts=on"
EVERYTHING = f"{FIRST_STAGE},device-iotlb=on,svm=on"


def machine(built, unit, *more, requester=""):
    """Starts a machine with this unit and a requester."""
    started = Machine(built, [f"intel-iommu,{unit}", *more,
                              f"vtd-requester,bus=pcie.0,addr=04.0{requester}"])
    started.open_configuration()
    return started


# Where the tables of a unit in scalable mode are: root, context, PASID directory, PASID table,
# page tables of each PASID, invalidation queue, page request queue.
ROOT, CONTEXT, DIRECTORY, PASIDS = 0x1000000, 0x1001000, 0x1002000, 0x1003000
TABLES, QUEUE, REQUESTS, STATUS = 0x1010000, 0x1008000, 0x1009000, 0x100A000
# Bits of a context entry: present, device-TLB, PASIDs, page requests.
PRESENT, DTE, PASIDE, PRE = 1, 1 << 2, 1 << 3, 1 << 4
FIRST, SECOND, PASS_THROUGH = 1 << 6, 2 << 6, 4 << 6
WIDE, DOUBLE = 1 << 10, 1 << 11
PQA, PQT, PRS = 0xD0, 0xC8, 0xDC
LEVELS = 4


def domain_of(pasid):
    """Returns the domain id that a PASID has."""
    return 16 + pasid


def frame_of(pasid):
    """Returns where IOVA leads to for a PASID."""
    return 0x4000000 + (pasid << 16)


class ScalableUnit(Unit):
    """The unit of a machine, in scalable mode."""

    def __init__(self, machine_, first_stage):
        super().__init__(machine_, FIRST_UNIT, ROOT)
        self.first_stage = first_stage
        self.leaf_bits = 7 if first_stage else 3
        self.tables = {}

    def entry(self, pasid, *words):
        """Writes a PASID's entry, the word with its present bit last."""
        for word in reversed(range(3)):
            value = words[word] if word < len(words) else 0
            self.machine.write(PASIDS + pasid * 64 + word * 8, value)

    def translating_entry(self, pasid):
        """Returns the words of an entry that leads to the page tables of a PASID."""
        table = self.table(pasid, 0)
        if self.first_stage:
            return FIRST | 2 << 2 | PRESENT, domain_of(pasid), table
        return SECOND | 2 << 2 | table | PRESENT, domain_of(pasid), 0

    def table(self, pasid, level):
        """Returns the address of a page table: level 0 is the root, 3 has the leaves."""
        return TABLES + pasid * 0x10000 + level * 0x1000

    def leaf_at(self, pasid, page=0):
        """Returns the address of the leaf of a page from IOVA on."""
        return self.table(pasid, LEVELS - 1) + page * 8

    def set_leaf(self, pasid, value, page=0):
        """Writes a leaf, without an invalidation."""
        self.machine.write(self.leaf_at(pasid, page), value)

    def add(self, pasid):
        """Lets eight pages from IOVA on lead to the frames of this PASID."""
        for level in range(LEVELS - 1):
            index = 1 if level == LEVELS - 3 else 0
            self.machine.write(self.table(pasid, level) + index * 8,
                               self.table(pasid, level + 1) | self.leaf_bits)
        for page in range(8):
            self.set_leaf(pasid, frame_of(pasid) + page * 0x1000 | self.leaf_bits, page)
        self.entry(pasid, *self.translating_entry(pasid))

    def start_scalable(self, source, pasids, context=DTE | PASIDE | PRE):
        """Lets these PASIDs of a requester be translated, and turns translation on."""
        self.set_context(source, context | PRESENT)
        self.machine.write(DIRECTORY, PASIDS | PRESENT)
        for pasid in pasids:
            self.add(pasid)
        self.set(qtest.IQT, 0)
        self.set(qtest.IQA, QUEUE | DOUBLE)
        self.set(qtest.GCMD, qtest.QUEUE, 4)
        self.set(qtest.RTADDR, ROOT | WIDE)
        self.set(qtest.GCMD, qtest.QUEUE | qtest.ROOT, 4)
        self.set(qtest.GCMD, qtest.QUEUE | qtest.TRANSLATION, 4)
        self.set(PQA, REQUESTS)
        self.tail = 0

    def set_context(self, source, bits):
        """Writes the context entry of a requester, which has the PASID directory if present."""
        self.machine.write(ROOT, CONTEXT | PRESENT)
        self.machine.write(CONTEXT + source * 32, DIRECTORY | bits if bits else 0)

    def submit(self, *descriptors):
        """Submits descriptors of up to four words; returns whether the unit has read them."""
        for words in descriptors:
            for word in range(4):
                self.machine.write(QUEUE + self.tail + word * 8,
                                   words[word] if word < len(words) else 0)
            self.tail = (self.tail + 32) % 0x1000
        self.set(qtest.IQT, self.tail, 4)
        return self.register(qtest.IQH) == self.tail


def pasid_cache(domain, pasid):
    """Invalidates the entry of one PASID."""
    return (7 | 1 << 4 | domain << 16 | pasid << 32,)


def pasid_iotlb(domain, pasid, address=None, pages=0):
    """Invalidates one PASID, or of it 2 to the power `pages` pages."""
    if address is None:
        return (6 | 2 << 4 | domain << 16 | pasid << 32,)
    return 6 | 3 << 4 | domain << 16 | pasid << 32, address | pages


def device_tlb(source, pasid, address, more=0):
    """Invalidates in the device; `more` has the size bit."""
    return 8 | source << 16 | pasid << 32, address | more


def page_response(source, pasid, group, code=0):
    """Answers a group of page requests."""
    return 9 | 1 << 4 | code << 12 | source << 16 | pasid << 32, group << 3


def wait(value, address=STATUS):
    """Waits until all before it is done, and then writes a value."""
    return 5 | 1 << 5 | value << 32, address


# Where the tables of a unit in legacy mode are, and what IOVA leads to.
TABLES_AT, TARGET = 0x2000000, 0x3000000
IRTA, REMAP, SET_TABLE = 0xB8, 1 << 25, 1 << 24


@contextlib.contextmanager
def scalable_machine(built):
    """A requester whose requests without PASID, and with PASIDs 5 and 6, are translated."""
    with machine(built, EVERYTHING) as started:
        requester = Requester(started)
        unit = ScalableUnit(started, first_stage=True)
        unit.start_scalable(SOURCE, (0, 5, 6))
        yield started, requester, unit


@contextlib.contextmanager
def legacy_machine(built):
    """A requester whose untranslated requests are translated in legacy mode."""
    with machine(built, "id=unit,device-iotlb=on,intremap=on") as started:
        requester = Requester(started)
        unit = Unit(started, FIRST_UNIT, TABLES_AT)
        unit.map([SOURCE], TARGET)
        unit.start()
        yield started, requester, unit


def start_remapping(unit):
    """Turns interrupt remapping on, with an empty table."""
    unit.set(IRTA, unit.tables + 0x100000)
    unit.set(qtest.GCMD, qtest.QUEUE | SET_TABLE, 4)
    unit.set(qtest.GCMD, qtest.QUEUE | REMAP, 4)
    assert unit.register(qtest.GSTS, 4) & REMAP
