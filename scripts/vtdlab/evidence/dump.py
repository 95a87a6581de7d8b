# SPDX-License-Identifier: GPL-2.0
"""Dumps: what a guest sent, and a reading of it that is apart from the program vtd's."""

import base64
import binascii
import re
import subprocess
import tarfile
from pathlib import Path

from vtdlab.build import tool
from vtdlab.errors import LabError

TIMEOUT = 60
# A context entry in the in-tree driver's format: requester, root entry, high and low word.
ENTRY = re.compile(r"([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\t\S+\t(0x[0-9a-f]{16}):(0x[0-9a-f]{16})\t")
PASS_THROUGH = 2


def receive(records, folder):
    """Stores the dump that a guest sent (send_dump in scripts/guest/lib.sh), and its picture, in a
    folder; returns the dump's path, or None if the guest sent none."""
    lines = [record["line"] for record in records.of("dump")]
    if not lines or not records.of("dump-end"):
        return None
    path = Path(folder) / "machine.tar.gz"
    try:
        path.write_bytes(base64.b64decode("".join(lines), validate=True))
    except binascii.Error as err:
        raise LabError(f"What the guest sent is no dump: {err}.") from err
    draw(path)
    return path


def draw(path):
    """Makes the program vtd draw a dump: machine.svg next to it; returns its tree."""
    done = subprocess.run([tool.build(), "--dump", path, "tree", "--svg",
                           path.with_name("machine.svg")], check=False, capture_output=True,
                          text=True, timeout=TIMEOUT)
    if done.returncode:
        raise LabError(f"The dump {path} could not be drawn: {done.stderr.strip()}")
    return done.stdout


class Saved:
    """A dump as this lab reads it. `devices` has the words of each, and `owners` those of groups."""

    def __init__(self, path):
        with tarfile.open(path) as archive:
            self.files = {member.name.partition("/")[2]:
                          archive.extractfile(member).read().decode("utf-8", "replace")
                          for member in archive if member.isfile()}
        self.driver = dict(line.split(" ", 1) for line in self._lines("about"))["driver"]
        self.devices = {words["device"]: {"driver": _word(words, "driver"),
                                          "group": _word(words, "group"), "unit": None}
                        for words in self._words("pci")}
        self.owners, self.mapped = {}, {}
        for name in self.files:
            if name.startswith("units/") and name.endswith("/devices"):
                for bdf in self._lines(name):
                    self.devices[bdf]["unit"] = name.split("/")[1]
        if self.driver == "vtd":
            self._ours()
        else:
            self._in_tree()

    def _lines(self, name):
        return self.files.get(name, "").splitlines()

    def _words(self, name):
        for line in self._lines(name):
            yield dict(word.split("=", 1) for word in line.split())

    def _ours(self):
        for words in self._words("vtd/groups"):
            self.devices[words["device"]] |= {
                "unit": _word(words, "unit"), "domain": _word(words, "domain"),
                "domain_id": _word(words, "domain-id"), "attached": words["attached"],
                "faults": int(words["faults"])}
            self.owners[words["group"]] = words["owner"]
        for words in self._words("vtd/domains"):
            self.mapped[words["domain"]] = int(words["mapped-bytes"]) - int(words["unmapped-bytes"])

    def _in_tree(self):
        for found in filter(None, map(ENTRY.match, self._lines("intel/dmar_translation_struct"))):
            high, low = int(found[2], 16), int(found[3], 16)
            is_identity = low >> 2 & 3 == PASS_THROUGH
            if low & 1:
                self.devices[f"0000:{found[1]}"] |= {
                    "attached": "identity" if is_identity else "translated",
                    "domain_id": None if is_identity else str(high >> 8 & 0xffff)}


def _word(words, name):
    """Returns a value, or None for a dash."""
    return None if words[name] == "-" else words[name]
