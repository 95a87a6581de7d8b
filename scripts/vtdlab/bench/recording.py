# SPDX-License-Identifier: GPL-2.0
"""The origin of the figures, and their copy in Documentation."""

import shutil
import subprocess
import time

from vtdlab import cache as lab
from vtdlab.bench import compared
from vtdlab.errors import LabError
from vtdlab.guest import qemu

ABOUT = "about.txt"
TIMEOUT = 30


def note(out, section, kernel):
    """Writes a line to about.txt: when and on what this section was measured."""
    path = out / ABOUT
    lines = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            lines[line.split()[0]] = line
    lines[section] = (f"{section:<13} {time.strftime('%Y-%m-%d', time.gmtime())}  "
                      f"vtd {_commit()}  Linux {kernel.release}  QEMU {_qemu()}")
    path.write_text("\n".join(lines[name] for name in sorted(lines)) + "\n", encoding="utf-8")


def _said(*argv):
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=TIMEOUT,
                          cwd=lab.checkout())
    return done.stdout.strip() if done.returncode == 0 else ""


def _commit():
    commit = _said("git", "rev-parse", "--short=10", "HEAD") or "unknown"
    changed = _said("git", "status", "--porcelain", "--", "Kbuild", "rust", "src",
                    "bench")
    return f"{commit}{' with changes' if changed else ''}"


def _qemu():
    words = _said(qemu.BINARY, "--version").split()
    return words[3] if len(words) > 3 else "of unknown version"


def record(out, plots):
    """Replaces the contents of Documentation/benchmarks."""
    if not (out / ABOUT).exists():
        raise LabError(f"{out / ABOUT} is missing, so it cannot be said where the figures come "
                       "from; measure with make bench.")
    folder = lab.checkout() / "Documentation/benchmarks"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    modes = [path for path in (out / compared.TABLE,) if path.exists()]
    for path in (out / "results.csv", out / ABOUT, *modes, *plots):
        shutil.copy(path, folder)
    lab.say("record", folder.relative_to(lab.checkout()))
