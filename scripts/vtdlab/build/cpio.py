# SPDX-License-Identifier: GPL-2.0
"""The cpio format that the kernel unpacks as its first root ("newc").

It is written here rather than by a tool, so that an ordinary user can make archives with
device nodes and root's files, and so that the same input gives the same archive.
"""

import stat

MAGIC = "070701"
TRAILER = "TRAILER!!!"


class Archive:
    """A cpio archive being written to a binary file."""

    def __init__(self, file):
        self.file = file
        self.inode = 0
        self.folders = {""}

    def _entry(self, name, mode, data=b"", device=(0, 0)):
        self.inode += 1
        raw = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 2 if stat.S_ISDIR(mode) else 1, 0, len(data),
                  0, 0, *device, len(raw), 0)
        self._write((MAGIC + "".join(f"{field:08x}" for field in fields)).encode() + raw)
        self._write(data)

    def _write(self, data):
        # Headers (with the name) and data each start on a multiple of four.
        self.file.write(data + b"\0" * (-len(data) % 4))

    def folder(self, name):
        """Adds a folder and those above it; once each."""
        name = name.strip("/")
        if name in self.folders:
            return
        if "/" in name:
            self.folder(name.rsplit("/", 1)[0])
        self.folders.add(name)
        self._entry(name, stat.S_IFDIR | 0o755)

    def data(self, name, content, executable=False):
        """Adds a regular file."""
        name = name.strip("/")
        if "/" in name:
            self.folder(name.rsplit("/", 1)[0])
        self._entry(name, stat.S_IFREG | (0o755 if executable else 0o644), content)

    def link(self, name, target):
        """Adds a symbolic link."""
        name = name.strip("/")
        if "/" in name:
            self.folder(name.rsplit("/", 1)[0])
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def node(self, name, major, minor):
        """Adds a character device."""
        name = name.strip("/")
        self.folder(name.rsplit("/", 1)[0])
        self._entry(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def close(self):
        """Writes the trailer; the file itself stays open."""
        self._entry(TRAILER, 0)
