# SPDX-License-Identifier: GPL-2.0
"""Translation is switched off in a detach, and on again in the next load."""

from evidence.common import parts


def claims(evidence):
    """Yields (claim, why not) pairs."""
    wanted = {"unload refused": [], "unload": [False], "reload": [True]}
    for name, unit, trace in [*parts(evidence, "unload"), *parts(evidence, "reload")]:
        yield f"{name}: translation of {unit}", (
            "" if trace.translation() == wanted[name]
            else f"the trace has {trace.translation()} where {wanted[name]} was expected")
