# SPDX-License-Identifier: GPL-2.0
"""Coverage-guided fuzzing of vtd_core, for a bounded time; `make fuzz` takes longer."""

import subprocess

from vtdlab import cache as lab

SECONDS = 15
# The first run builds libFuzzer.
TIMEOUT = 600


def test_fuzz():
    """No target finds a failure, starting from the committed corpus."""
    done = subprocess.run([lab.checkout() / "fuzz/run", str(SECONDS)], capture_output=True,
                          text=True, errors="replace", timeout=TIMEOUT, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    targets = len(list((lab.checkout() / "fuzz/targets").glob("*.rs")))
    assert done.stdout.count("nothing found") == targets, done.stdout
