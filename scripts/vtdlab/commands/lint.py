# SPDX-License-Identifier: GPL-2.0
"""rustfmt, clippy and the other readers of the sources."""

from vtdlab import cache as lab
from vtdlab.build import kernel
from vtdlab.checks import lint
from vtdlab.errors import LabError

NAMES = ("spdx", "rustfmt", "shellcheck", "checkpatch", "clippy")
NEED_KERNEL = {"checkpatch", "clippy"}


def add_arguments(parser):
    """Adds the options; without names all checks run."""
    parser.add_argument("names", nargs="*", metavar="NAME", help=" ".join(NAMES))
    parser.add_argument("--series", choices=kernel.SERIES, help="kernel series")
    parser.add_argument("--fix", action="store_true", help="let rustfmt change the files")


def main(args):
    """Runs the checks; returns 1 if anything was found."""
    unknown = set(args.names) - set(NAMES)
    if unknown:
        raise LabError(f"there is no check {', '.join(sorted(unknown))}; "
                       f"there are {', '.join(NAMES)}.")
    if args.fix:
        text = lint.rustfmt(fix=True)
        print(text, end="")
        return 1 if text else 0
    names = args.names or NAMES
    cache = lab.Cache()
    built = kernel.get(cache, args.series) if NEED_KERNEL & set(names) else None
    checks = lint.all_checks(cache, built)
    return 1 if lint.report({name: checks[name] for name in names}) else 0
