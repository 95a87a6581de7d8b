# SPDX-License-Identifier: GPL-2.0
"""The second witness: compares the results of a test with QEMU's trace.

`example.py` belongs to the test `example.sh`. Its `claims(evidence)` yields (claim, why not) pairs; an
empty reason means that the claim holds.
"""

import importlib
from pathlib import Path


def witness(test):
    """Returns the function that checks a test's claims; None if the test has no second witness."""
    name = test.replace("-", "_")
    if name in ("common", "ending") or not (Path(__file__).parent / f"{name}.py").exists():
        return None
    return importlib.import_module(f"evidence.{name}").claims
