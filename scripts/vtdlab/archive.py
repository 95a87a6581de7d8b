# SPDX-License-Identifier: GPL-2.0
"""Kernel sources from the Debian archive, through apt.

apt's state lies in the cache folder, because the build root is read-only. The
index is fetched once a day; when that fails, the last one is used and said so.
"""

import shutil
import subprocess
import time

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.errors import LabError

PREFIX = "linux-source-"
INDEX_AGE = 24 * 3600
APT_TIMEOUT = 900


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
        """Fetch the package index unless it is younger than a day."""
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
        """Every linux-source series in the archive with its newest version."""
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
        """The newest version of one series; LabError names what there is."""
        version = self._newest(PREFIX + series)
        if version:
            return version
        held = ", ".join(f"{s} ({v})" for s, v in sorted(self.versions().items()))
        raise LabError(
            f"The Debian archive holds no {PREFIX}{series}; it holds "
            f"{held or 'no kernel source at all'}. vtd is written for 7.3 (default) and "
            "7.2 (SERIES=7.2)."
        )

    def _newest(self, package):
        text = self._query("apt-cache", "madison", package)
        for line in text.splitlines():
            fields = [field.strip() for field in line.split("|")]
            if len(fields) == 3 and fields[0] == package and "Sources" not in fields[2]:
                return fields[1]
        return None

    def _query(self, tool, *args):
        argv = [a for a in self._apt(tool, *args) if a != "-q"]
        return subprocess.run(argv, check=False, capture_output=True, text=True,
                              timeout=120).stdout

    def source(self, series, version):
        """The unpacked source tree of that version, fetched once."""
        safe = version.replace(":", "_")
        folder = self.cache.entry("source", safe)
        tree = folder / f"{PREFIX}{series}"
        with self.cache.lock(f"source-{safe}"):
            if not lab.is_complete(folder):
                self._fetch(f"{PREFIX}{series}", version, folder)
        return tree

    def _fetch(self, package, version, folder):
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        progress.run("fetch", f"{package} {version}",
                     self._apt("apt-get", "download", f"{package}={version}"),
                     folder / "fetch.log", cwd=folder, timeout=APT_TIMEOUT)
        debs = list(folder.glob("*.deb"))
        if len(debs) != 1:
            raise LabError(f"apt downloaded {len(debs)} files for {package} {version} into "
                           f"{folder} where one was expected; see fetch.log there.")
        progress.run("unpack", f"{package} {version}",
                     ["sh", "-ec", f'dpkg-deb -x "$1" . && tar -xf usr/src/{package}.tar.xz '
                      '--no-same-owner && rm -rf usr "$1"', "sh", debs[0].name],
                     folder / "unpack.log", cwd=folder, timeout=APT_TIMEOUT)
        if not (folder / package / "Makefile").is_file():
            raise LabError(f"The package {package} {version} holds no kernel source at "
                           f"usr/src/{package}.tar.xz; the archive's layout has changed.")
        lab.set_complete(folder, version)

