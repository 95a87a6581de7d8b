# SPDX-License-Identifier: GPL-2.0
"""Builds the test kernel, and prints its paths."""

from vtdlab.build import kernel


def add_arguments(parser):
    """Adds the options; SERIES from the environment is the default."""
    parser.add_argument("--series", choices=kernel.SERIES, help="kernel series")
    parser.add_argument("--kdir", action="store_true", help="print the build folder only")


def main(args):
    """Builds if needed; prints the paths."""
    built = kernel.get(series=args.series)
    if args.kdir:
        print(built.kdir)
    else:
        for name in ("version", "release", "kdir", "image", "modules", "source"):
            print(f"  {name:<9} {getattr(built, name)}")
    return 0
