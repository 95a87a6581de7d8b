# SPDX-License-Identifier: GPL-2.0
"""Builds vtd.ko for one of Debian's own kernels, and prints what to do with it."""

from vtdlab import cache as lab
from vtdlab.build import kernel, module, stock


def add_arguments(parser):
    """Adds the options; the default is SERIES, else the running kernel."""
    parser.add_argument("--series", choices=kernel.SERIES, help="kernel series")


def main(args):
    """Fetches, prepares and builds what is not in the cache; prints its path."""
    cache = lab.Cache()
    built = stock.get(cache, args.series)
    path = module.publish(module.get(cache, built), built.release)
    lab.say("module", f"{path.relative_to(lab.checkout())}, for Debian's Linux {built.release} "
                      f"({built.version})")
    lab.say("folder", f"{built.kdir}, for make KDIR=")
    lab.say("next", "make run KERNEL=debian: the demo on that kernel, unmodified")
    lab.say("next", "make install, on a machine that runs it: vtd from each start on "
                    "(Documentation/stock-kernels.rst)")
    return 0
