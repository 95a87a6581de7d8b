# SPDX-License-Identifier: GPL-2.0
"""The command line: python3 -m vtdlab COMMAND.

Each command is a module, imported only when it is requested. A module with options has
`add_arguments(parser)`; every module has `main(args)`, which returns the exit status.
"""

import argparse
import importlib
import signal
import sys

from vtdlab.errors import LabError

COMMANDS = {
    "kernel": ("commands.kernel", "build the test kernel and print its path"),
    "module": ("commands.module", "build vtd.ko against the test kernel"),
    "debian": ("commands.debian", "build vtd.ko for a stock Debian kernel"),
    "debian-check": ("commands.debian_check", "a Debian guest in which vtd was installed"),
    "deb": ("build.deb", "build the Debian packages"),
    "tool": ("build.tool", "build the program vtd, static"),
    "lint": ("commands.lint", "rustfmt and clippy over the module's sources"),
    "run": ("commands.run", "boot the test machine and show the driver in use"),
    "guest": ("commands.guest", "a shell in the test machine, or one command"),
    "check": ("commands.check", "every test, host and guest"),
    "docs": ("commands.docs", "the pages as HTML"),
    "bench": ("commands.bench", "measure this driver and the kernel's own"),
}


class Parser(argparse.ArgumentParser):
    """argparse, with one sentence for a wrong argument."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(argv=None):
    """Runs a command; LabError becomes one sentence and status 1."""
    parser = Parser(prog="vtdlab", description=__doc__.splitlines()[0])
    sub = parser.add_subparsers(dest="command", required=True)
    argv = sys.argv[1:] if argv is None else argv
    for name, (module, text) in COMMANDS.items():
        child = sub.add_parser(name, help=text)
        if argv[:1] == [name]:
            loaded = importlib.import_module(f"vtdlab.{module}")
            if hasattr(loaded, "add_arguments"):
                loaded.add_arguments(child)
            child.set_defaults(main=loaded.main)
    args = parser.parse_args(argv)
    try:
        return args.main(args)
    except LabError as err:
        print(f"vtdlab {args.command}: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nvtdlab {args.command}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
