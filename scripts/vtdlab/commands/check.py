# SPDX-License-Identifier: GPL-2.0
"""`make check`: runs every test, through one pytest.

With T=name (or --test name) only tests of that name run: a test of the guests such as
`attack`, or else whatever pytest's -k finds.
"""

import concurrent.futures
import os
import shutil
import subprocess
import sys

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.build import kernel
from vtdlab.errors import LabError, is_none_of
from vtdlab.guest import machines, testbed

# Kernels that some guests of `make check` boot instead of the ordinary one.
WATCHING = ("debug", "kcsan")
AT_ONCE = 2
STAGES = ("second", "first")
# Variables that are numbers, and what they count.
NUMBERS = {"GUESTS": "guests", "FUZZ_SECONDS": "seconds", "STRIDE": "allocations or steps"}
COLLECT_TIMEOUT = 120
# Shown at the end; those of guests are in seconds.csv.
SLOWEST = ("--durations=20", "--durations-min=5")


def add_arguments(parser):
    """Adds the options; the defaults are `make check`."""
    parser.add_argument("--host", action="store_true", help="only tests that boot nothing")
    parser.add_argument("--guest", action="store_true", help="only what boots")
    parser.add_argument("--debug", action="store_true",
                        help="the guests' tests on the debug kernel")
    parser.add_argument("--races", action="store_true",
                        help="tests with many threads, on the kernel that detects races (KCSAN)")
    parser.add_argument("--units", action="store_true",
                        help="the guests' tests on machines with several units")
    parser.add_argument("--machine", help="with --units: only on this machine")
    parser.add_argument("--scalable", action="store_true",
                        help="the guests' tests with a unit in scalable mode")
    parser.add_argument("--stage", choices=STAGES, help="with --scalable: only with this stage")
    parser.add_argument("--test", default=os.environ.get("T", ""), metavar="NAME",
                        help="only this test")
    parser.add_argument("--series", choices=kernel.SERIES, action="append", default=[],
                        help="kernel series to boot; default SERIES, else both")


def _flavour(args):
    return "debug" if args.debug else "kcsan" if args.races else "test"


def _series(args):
    # One such kernel is enough by default: it takes twice as long to build, or to test.
    if (_flavour(args) != "test" or args.units or args.scalable) and not args.series:
        return [kernel.series_wanted()]
    if args.series or not os.environ.get("SERIES"):
        return args.series or list(kernel.SERIES)
    return [kernel.series_wanted()]


def _guest_tests():
    # What the scripts share is not executable.
    scripts = (path.stem for path in (lab.checkout() / "selftests").glob("*.sh")
               if os.access(path, os.X_OK))
    return {*scripts, "kexec", "crash", "kselftest", "run"}


def need_numbers(env=os.environ):
    """Checks that numbers are numbers, before hours of building and not after."""
    for name, what in NUMBERS.items():
        value = env.get(name)
        if value and (not value.isdecimal() or int(value) < 1):
            raise LabError(f"{name}={value} is no number of {what}; give one from 1 on.")


def need_test(name, collect):
    """Checks that `name` is a test of the guests, or else that pytest finds something by it;
    `collect` returns the names that pytest finds, which takes seconds."""
    if name in _guest_tests() or collect():
        return
    hosts = {path.stem.removeprefix("test_") for path in
             (lab.checkout() / "selftests/pytest").glob("test_*.py")}
    known = sorted(_guest_tests() | hosts | {"vtd_core"})
    raise LabError(is_none_of("test", name, known) + "; or any words by which pytest's -k finds one.")


def _collected(argv):
    """Returns what pytest finds by these arguments; pytest reports wrong ones itself."""
    done = subprocess.run([sys.executable, "-m", "pytest", "--collect-only", "-qq", *argv],
                          check=False, capture_output=True, text=True, timeout=COLLECT_TIMEOUT)
    return [] if done.returncode in (4, 5) else done.stdout.splitlines()


def _arguments(args, series):
    tests = lab.checkout() / "selftests/pytest"
    argv = ["-c", str(tests / "pytest.ini"), "--rootdir", str(tests), "-v"]
    for one in series:
        argv.append(f"--series={one}")
    argv.append(f"--flavour={_flavour(args)}")
    if args.units:
        argv += [f"--machine={name}" for name in machines.several(args.machine)]
    if args.scalable:
        argv += [f"--stage={name}" for name in ([args.stage] if args.stage else STAGES)]
    if args.test in _guest_tests():
        return [*argv, f"--test={args.test}", str(tests / "boots.py")]
    if args.test:
        argv += ["-k", args.test]
    else:
        argv += SLOWEST
    host = [*map(str, sorted(tests.glob("test_*.py"))), str(tests / "cargo.py")]
    guest = [str(tests / "boots.py")]
    if _flavour(args) == "test" and not (args.units or args.scalable):
        guest += map(str, sorted(tests.glob("guest_*.py")))
    return argv + (host if not args.guest else []) + (guest if not args.host else [])


def build(wanted):
    """Builds each (series, flavour) that is missing, two at a time: a compiler's first crate and a
    linker leave a processor idle. A failure or an interrupt ends the others; the next run
    continues an unfinished kernel."""
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        beds = [pool.submit(testbed.get, series, flavour=flavour) for series, flavour in wanted]
        try:
            for bed in beds:
                bed.result()
        except BaseException:
            progress.STOP.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            progress.STOP.clear()


def main(args):
    """Builds what is missing and shows the progress; then becomes pytest."""
    need_numbers()
    machines.several(args.machine)
    flavour = _flavour(args)
    other = "units" if args.units else "scalable" if args.scalable else ""
    folder = f"check-{other if flavour == 'test' and other else flavour}".removesuffix("-test")
    out = lab.checkout() / "out" / folder
    if not args.test:
        shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    series = _series(args)
    args.guest = args.guest or flavour != "test" or args.units or args.scalable
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(lab.checkout() / folder) for folder in ("scripts", "selftests", "selftests/pytest")])
    if args.test:
        need_test(args.test, lambda: _collected(_arguments(args, series)))
    if not args.host:
        wanted = [(one, flavour) for one in series]
        if flavour == "test" and kernel.SERIES[0] in series and not (
                args.units or args.scalable or args.test or os.environ.get("QUICK")):
            wanted += [(kernel.SERIES[0], other) for other in WATCHING]
        build(wanted)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *_arguments(args, series)])
