# SPDX-License-Identifier: GPL-2.0
"""Builds vtd.ko against the test kernel."""

from vtdlab import cache as lab
from vtdlab.build import kernel, module


def add_arguments(parser):
    """Adds the options; SERIES from the environment is the default."""
    parser.add_argument("--series", choices=kernel.SERIES, help="kernel series")


def main(args):
    """Builds if needed; prints the module's path."""
    cache = lab.Cache()
    built = kernel.get(cache, args.series)
    path = module.publish(module.get(cache, built), built.release)
    lab.say("module", f"{path.relative_to(lab.checkout())}, for Linux {built.release}")
    return 0
