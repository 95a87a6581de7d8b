# SPDX-License-Identifier: GPL-2.0
"""A dump: what vtd-save wrote, as names and texts.

A dump may come from anywhere, so nothing of it is unpacked, and the amount that is read
is bounded.
"""

import tarfile
from pathlib import Path

from vtdlab.errors import LabError

TOP = "vtd-dump"
MOST_FILES = 4096
MOST_BYTES = 32 << 20


class Dump:
    """The files of a dump; `problems` lists what is wrong with it."""

    def __init__(self, files):
        self.files = {_plain(name): _plain(text) for name, text in files.items()}
        self.problems = []
        about = dict(line.split(" ", 1) for line in self.lines("about") if " " in line)
        if about.get("format") != "1":
            raise LabError("This is no dump of vtd-save: it has no file 'about' that says "
                           "'format 1'. Save one with vtd-inspect --save or vtd-save.")
        self.kernel = about.get("kernel", "of an unknown release")
        self.driver = about.get("driver", "")

    @classmethod
    def read(cls, path):
        """Reads a folder, or a tar archive, compressed or not."""
        path = Path(path)
        try:
            return cls(_folder(path) if path.is_dir() else _archive(path))
        except OSError as err:
            raise LabError(f"{path} cannot be read: {err.strerror or err}.") from err
        except (tarfile.TarError, EOFError, ValueError) as err:
            why = str(err).partition(":")[0].partition("\n")[0]
            raise LabError(f"{path} is no whole tar archive ({why}); save it again.") from err

    def lines(self, name):
        """Returns the lines of a file; none if the dump lacks it."""
        return self.files.get(name, "").splitlines()

    def names(self, folder):
        """Returns the folders directly below a folder, sorted."""
        start = f"{folder}/"
        return sorted({name[len(start):].split("/")[0] for name in self.files
                       if name.startswith(start) and "/" in name[len(start):]})

    def records(self, name, needed):
        """Yields each line of name=value words as a dict; a missing required name is a problem."""
        for number, line in enumerate(self.lines(name), 1):
            words = dict(word.split("=", 1) for word in line.split() if "=" in word)
            missing = [word for word in needed if word not in words]
            if missing:
                self.problems.append(f"line {number} of {name} says nothing of its "
                                     f"{', '.join(missing)}: {line[:60]!r}")
            else:
                yield words

    def counts(self, name):
        """Returns the lines `name: number` of a file."""
        found = {}
        for number, line in enumerate(self.lines(name), 1):
            key, colon, value = line.partition(":")
            if colon and value.strip().isdigit():
                found[key.strip()] = int(value)
            else:
                self.problems.append(f"line {number} of {name} is no count: {line[:60]!r}")
        return found


def _text(data):
    return data.decode("utf-8", "replace")


def _plain(text):
    """Returns the text without characters that control a terminal or break a picture."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "?" for sign in text)


def _folder(path):
    top = path / TOP if (path / TOP).is_dir() else path
    files, size = {}, 0
    for file in sorted(top.rglob("*")):
        if file.is_symlink() or not file.is_file():
            continue
        size += file.stat().st_size
        _bound(len(files), size)
        files[file.relative_to(top).as_posix()] = _text(file.read_bytes())
    return files


def _archive(path):
    files, size = {}, 0
    with tarfile.open(path, "r:*") as archive:
        for member in archive:
            if not member.isfile() or not member.name.startswith(f"{TOP}/"):
                continue
            size += member.size
            _bound(len(files), size)
            files[member.name[len(TOP) + 1:]] = _text(archive.extractfile(member).read())
    return files


def _bound(files, size):
    if files >= MOST_FILES or size > MOST_BYTES:
        raise LabError(f"This is no dump of vtd-save: it has more than {MOST_FILES} files or "
                       f"{MOST_BYTES >> 20} MiB.")
