# SPDX-License-Identifier: GPL-2.0
"""Kernel sources and packages from the Debian archive, through apt.

apt's state is in the cache folder, because the build root is read-only. The index
is fetched once a day; if that fails, the last one is used, and a message says so.
"""

import re
import shutil
import subprocess
import time

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.errors import LabError

PREFIX = "linux-source-"
INDEX_AGE = 24 * 3600
APT_TIMEOUT = 900


def numbers(version):
    """Returns the numbers in a version, by which versions of related packages are ordered."""
    return [int(number) for number in re.findall(r"\d+", version)]


class Archive:
    """The archive that the build root's sources.list names."""

    def __init__(self, cache):
        self.cache = cache
        self.state = cache.path / "apt"

    def _apt(self, tool, *args):
        state = self.state
        return [tool, "-q", "-o", f"Dir::State::Lists={state}/lists",
                "-o", f"Dir::Cache={state}/cache", "-o", "APT::Sandbox::User=root",
                "-o", "Acquire::Retries=3", "-o", "Acquire::http::Timeout=60", *args]

    def refresh(self):
        """Fetches the package index unless it is younger than a day."""
        stamp = self.state / "fresh"
        with self.cache.lock("apt"):
            if stamp.exists() and time.time() - stamp.stat().st_mtime < INDEX_AGE:
                return
            (self.state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
            (self.state / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
            try:
                progress.run("index", "Debian's package lists",
                             self._apt("apt-get", "update", "--error-on=any"),
                             self.state / "update.log", timeout=APT_TIMEOUT)
            except LabError as err:
                if not stamp.exists():
                    raise
                lab.say("note", f"the package lists are old: {err}")
                return
            stamp.touch()

    def versions(self):
        """Returns every linux-source series in the archive with its newest version."""
        names = self._query("apt-cache", "pkgnames", PREFIX).split()
        found = {}
        for name in names:
            series = name[len(PREFIX):]
            if not series.replace(".", "").isdigit():
                continue
            newest = self._newest(name)
            if newest:
                found[series] = newest
        return found

    def newest(self, series):
        """Returns the newest version of one series; LabError names the available ones."""
        version = self._newest(PREFIX + series)
        if version:
            return version
        held = ", ".join(f"{s} ({v})" for s, v in sorted(self.versions().items()))
        raise LabError(
            f"The Debian archive holds no {PREFIX}{series}; it holds "
            f"{held or 'no kernel source at all'}. vtd is written for 7.3 (default) and "
            "7.2 (SERIES=7.2)."
        )

    def newest_package(self, package):
        """Returns the newest version of a binary package."""
        version = self._newest(package)
        if not version:
            raise LabError(f"The Debian archive holds no package {package}.")
        return version

    def _newest(self, package):
        return next(iter(self._held(package)), None)

    def _held(self, package):
        """Returns every version of a binary package, the newest first."""
        text = self._query("apt-cache", "madison", package)
        fields = [[field.strip() for field in line.split("|")] for line in text.splitlines()]
        return [found[1] for found in fields
                if len(found) == 3 and found[0] == package and "Sources" not in found[2]]

    def holds(self, package, version):
        """Returns whether the archive has this version of a binary package."""
        return version in self._held(package)

    def newest_of(self, pattern, prefix, exclude=()):
        """Returns (what the pattern's group matches, version) of the newest package that matches;
        LabError names the available ones."""
        names = self._query("apt-cache", "pkgnames", prefix).split()
        found = {}
        for name in names:
            match = pattern.fullmatch(name)
            version = match and not any(part in name for part in exclude) and self._newest(name)
            if version:
                found[match[1]] = version
        if not found:
            raise LabError(f"The Debian archive holds no {prefix}*, so there is no stock kernel of "
                           "that series; vtd is written for 7.3 (default) and 7.2 (SERIES=7.2).")
        return max(found.items(), key=lambda item: numbers(item[1]))

    def _query(self, tool, *args):
        argv = [a for a in self._apt(tool, *args) if a != "-q"]
        return subprocess.run(argv, check=False, capture_output=True, text=True,
                              timeout=120).stdout

    def source_folder(self, series, version):
        """Returns the path that the source tree of that version has or will have."""
        return self.cache.entry("source", version.replace(":", "_")) / f"{PREFIX}{series}"

    def source(self, series, version):
        """Returns the unpacked source tree of that version, fetched once."""
        tree = self.source_folder(series, version)
        folder, safe = tree.parent, tree.parent.name
        with self.cache.lock(f"source-{safe}"):
            if not lab.is_complete(folder):
                self._fetch(f"{PREFIX}{series}", version, folder)
        return tree

    def _download(self, packages, version, folder, text):
        """Returns the .deb files of these packages, in a new folder."""
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        progress.run("fetch", text,
                     self._apt("apt-get", "download", *(f"{name}={version}" for name in packages)),
                     folder / "fetch.log", cwd=folder, timeout=APT_TIMEOUT)
        debs = sorted(folder.glob("*.deb"))
        if len(debs) != len(packages):
            raise LabError(f"apt downloaded {len(debs)} files for {text} into {folder} where "
                           f"{len(packages)} were expected; see fetch.log there.")
        return debs

    def unpack(self, packages, version, folder, text):
        """Returns a new folder with the unpacked files of these packages."""
        debs = self._download(packages, version, folder, text)
        progress.run("unpack", text,
                     ["sh", "-ec", 'for deb; do dpkg-deb -x "$deb" .; rm "$deb"; done', "sh",
                      *(deb.name for deb in debs)],
                     folder / "unpack.log", cwd=folder, timeout=APT_TIMEOUT)

    def _fetch(self, package, version, folder):
        debs = self._download([package], version, folder, f"{package} {version}")
        progress.run("unpack", f"{package} {version}",
                     ["sh", "-ec", f'dpkg-deb -x "$1" . && tar -xf usr/src/{package}.tar.xz '
                      '--no-same-owner && rm -rf usr "$1"', "sh", debs[0].name],
                     folder / "unpack.log", cwd=folder, timeout=APT_TIMEOUT)
        if not (folder / package / "Makefile").is_file():
            raise LabError(f"The package {package} {version} holds no kernel source at "
                           f"usr/src/{package}.tar.xz; the archive's layout has changed.")
        lab.set_complete(folder, version)

