# SPDX-License-Identifier: GPL-2.0
"""`make deb`: the Debian packages vtd-dkms and vtd-tools, out/deb/.

They are built from a copy of the checkout's files (those that git tracks or would add) at a path that
is the same everywhere, in the build root, so that the same files give the same packages. lintian
reads them, and what it says is an error.
"""

import os
import re
import shutil
from pathlib import Path

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.checks import lint
from vtdlab.errors import LabError

BUILD_TIMEOUT = 1800
LINTIAN_TIMEOUT = 600
# dpkg-buildpackage's option for the packages of all architectures, of this one, and both.
KINDS = {"all": "-A", "any": "-B", "both": "-b"}


def version():
    """Returns the version in debian/changelog."""
    first = (lab.checkout() / "debian/changelog").read_text(encoding="utf-8").split("\n", 1)[0]
    return re.match(r"vtd \(([^)]+)\)", first)[1]


def copy(folder):
    """Copies the checkout's files there. The times are now, because cargo trusts them."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in lint.tracked():
        target = folder / path.relative_to(lab.checkout())
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.chmod(0o755 if os.access(path, os.X_OK) else 0o644)


def build(out, kind="both"):
    """Builds packages into `out`; returns their paths."""
    if not os.environ.get("VTD_INSIDE"):
        raise LabError("Packages are built in the build root: run make deb.")
    # /tmp is private in the build root, which has all but the C++ compiler of build-essential.
    folder = Path(f"/tmp/vtd/vtd-{version()}")
    shutil.rmtree(folder.parent, ignore_errors=True)
    copy(folder)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    progress.run("deb", f"vtd {version()}, packages",
                 ["env", f"PYTHONPATH={folder}/scripts", "TZ=UTC", "dpkg-buildpackage", KINDS[kind],
                  "--no-sign", "--no-check-builddeps"],
                 out / "build.log", cwd=folder, timeout=BUILD_TIMEOUT)
    for path in folder.parent.glob("vtd*_*"):
        shutil.copyfile(path, out / path.name)
    shutil.rmtree(folder.parent)
    return sorted(out.glob("*.deb"))


def judge(out):
    """Has lintian read the packages; what it says is an error."""
    changes = next(out.glob("*.changes"))
    progress.run("lintian", "reading the packages",
                 ["lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0",
                  str(changes)], out / "lintian.log", timeout=LINTIAN_TIMEOUT)


def main(_args):
    """Builds and checks both packages; prints what to do with them."""
    out = lab.checkout() / "out/deb"
    debs = build(out)
    judge(out)
    for path in debs:
        lab.say("deb", str(path.relative_to(lab.checkout())))
    lab.say("next", "apt-get install ./out/deb/*.deb, on a Debian machine (Documentation/packages.rst)")
    return 0
