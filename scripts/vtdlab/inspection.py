# SPDX-License-Identifier: GPL-2.0
"""vtd-inspect: draws a machine, the running one or one that was saved."""

import base64
import binascii
import subprocess
import sys
import tempfile
from pathlib import Path

from vtdlab import console, inspectsvg, inspecttext, walk_query
from vtdlab.errors import LabError
from vtdlab.inspectdump import Dump
from vtdlab.inspectmodel import Machine

SAVE = Path(__file__).resolve().parents[1] / "vtd-save"
TIMEOUT = 120


def save(path):
    """Makes vtd-save write the state of this machine."""
    try:
        done = subprocess.run(["sh", str(SAVE), str(path)], check=False, capture_output=True,
                              text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as err:
        raise LabError(f"The kernel did not show its files within {TIMEOUT} s.") from err
    if done.returncode:
        said = done.stderr.strip() or f"vtd-save ended with status {done.returncode}"
        raise LabError(said.removeprefix("vtd-save: "))


def receive(records, folder):
    """Stores the dump that a guest sent (send_dump in scripts/guest/lib.sh), and its picture, in a
    folder; returns the dump's path, or None if the guest sent none."""
    lines = [record["line"] for record in records.of("dump")]
    if not lines or not records.of("dump-end"):
        return None
    path = Path(folder) / "machine.tar.gz"
    try:
        path.write_bytes(base64.b64decode("".join(lines), validate=True))
    except binascii.Error as err:
        raise LabError(f"What the guest sent is no dump: {err}.") from err
    picture = inspectsvg.draw(Machine(Dump.read(path)))
    path.with_name("machine.svg").write_text(picture, encoding="utf-8")
    return path


def _machine(args):
    if args.dump:
        return Machine(Dump.read(args.dump))
    if args.save:
        save(args.save)
        return Machine(Dump.read(args.save))
    with tempfile.TemporaryDirectory(prefix="vtd-inspect-") as folder:
        save(Path(folder) / "dump.tar")
        return Machine(Dump.read(Path(folder) / "dump.tar"))


def main(argv=None):
    """Runs the program; returns its exit status."""
    parser = console.Parser(
        prog="vtd-inspect", description="Draw remapping units, devices, groups, owners, domains.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dump", metavar="PATH", help="of a saved dump: an archive or a folder")
    what.add_argument("--save", metavar="FILE", help="also save the state of this machine")
    what.add_argument("--walk", nargs=2, metavar=("REQUESTER", "ADDRESS"),
                      help="only show the result of a requester's read and write of an address")
    parser.add_argument("--svg", metavar="FILE", help="also draw a picture")
    args = parser.parse_args(argv)
    try:
        if args.walk:
            print("\n".join(walk_query.ask(*args.walk)))
            return 0
        machine = _machine(args)
        print("\n".join(inspecttext.draw(machine)))
        if args.svg:
            Path(args.svg).write_text(inspectsvg.draw(machine), encoding="utf-8")
    except LabError as err:
        print(f"vtd-inspect: {err}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise
    except OSError as err:
        print(f"vtd-inspect: {err.filename or 'the output'} cannot be written: {err.strerror}",
              file=sys.stderr)
        return 1
    return 0
