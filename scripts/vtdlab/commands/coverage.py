# SPDX-License-Identifier: GPL-2.0
"""`make coverage`: which lines of vtd_core the host tests run.

The compiler counts, and LLVM's tools read the counts; lines of tests do not count. Lines
that are not covered are named, and less than LEAST percent is a failure. What runs under
loom is not counted: those tests are another crate, built for loom.
"""

import json
import os
import shutil
import subprocess
import sys

from vtdlab import cache as lab

LEAST = 95.0
CORE = "src/core"
# Run under loom by src/core/tests/concurrency.
UNDER_LOOM = ("concurrent", "lockless")
TIMEOUT = 900


def _tool(name):
    for found in (f"{name}-19", name):
        if shutil.which(found):
            return found
    sys.exit(f"{name} is missing; `make shell` has it")


def _binaries(env):
    """Returns the test binaries that cargo builds."""
    built = subprocess.run(["cargo", "test", "--no-run", "--message-format=json"], env=env,
                           cwd=lab.checkout(), check=True, capture_output=True, text=True,
                           timeout=TIMEOUT)
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    return [one["executable"] for one in messages
            if one.get("reason") == "compiler-artifact" and one["profile"]["test"]
            and one.get("executable")]


def _tested_lines(path):
    """Returns the lines of a source file before its tests."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if line == "#[cfg(test)]":
            return range(1, number)
    return range(1, len(lines) + 1)


def is_counted(path):
    """Returns whether a path, relative to the checkout, is of the core and is counted."""
    room, *rest = path.removeprefix(CORE + "/").split("/")
    return (path.startswith(CORE + "/") and "tests" not in (room, *rest)
            and room not in UNDER_LOOM)


def counts(lcov, top):
    """Returns llvm-cov's counts by path and line, for the core without its tests."""
    found, lines = {}, {}
    for line in lcov.splitlines():
        if line.startswith("SF:"):
            path = os.path.relpath(line[3:], top)
            lines = found.setdefault(path, {}) if is_counted(path) else {}
        elif line.startswith("DA:"):
            number, count = map(int, line[3:].split(",")[:2])
            lines[number] = lines.get(number, 0) + count
    return {path: {n: c for n, c in lines.items() if n in _tested_lines(top / path)}
            for path, lines in sorted(found.items())}


def _ranges(numbers):
    """Returns 1, 2, 3, 7 as `1-3 7`."""
    text, numbers = [], sorted(numbers)
    while numbers:
        end = 1
        while end < len(numbers) and numbers[end] == numbers[0] + end:
            end += 1
        text.append(f"{numbers[0]}-{numbers[end - 1]}" if end > 1 else f"{numbers[0]}")
        numbers = numbers[end:]
    return " ".join(text)


def measure():
    """Runs all tests with counters; returns the result of `counts`."""
    work = lab.Cache().cargo_target("coverage-target")
    profiles = work / "profiles"
    shutil.rmtree(profiles, ignore_errors=True)
    profiles.mkdir(parents=True)
    env = dict(os.environ, CARGO_TARGET_DIR=str(work), RUSTFLAGS="-Cinstrument-coverage",
               LLVM_PROFILE_FILE=str(profiles / "%p-%m.profraw"))
    binaries = _binaries(env)
    for binary in binaries:
        done = subprocess.run([binary, "-q"], env=env, cwd=lab.checkout(), check=False,
                              capture_output=True, text=True, timeout=TIMEOUT)
        if done.returncode:
            sys.exit(f"{binary} failed:\n{done.stdout}{done.stderr}")
    data = work / "core.profdata"
    raw = sorted(map(str, profiles.glob("*.profraw")))
    subprocess.run([_tool("llvm-profdata"), "merge", "-sparse", "-o", str(data), *raw],
                   check=True, timeout=TIMEOUT)
    objects = [part for binary in binaries for part in ("-object", binary)][1:]
    lcov = subprocess.run([_tool("llvm-cov"), "export", "-format=lcov",
                           f"-instr-profile={data}", *objects],
                          check=True, capture_output=True, text=True, timeout=TIMEOUT).stdout
    return counts(lcov, lab.checkout())


def judge(found, to=None):
    """Prints each file with uncovered lines, and the sum; exits if it is too little."""
    for path, lines in found.items():
        left = [number for number, count in lines.items() if count == 0]
        if left:
            print(f"{path}: {len(left)} of {len(lines)} lines not run: {_ranges(left)}", file=to)
    every = [count for lines in found.values() for count in lines.values()]
    if not every:
        sys.exit(f"nothing was counted in {CORE}")
    share = 100 * sum(count > 0 for count in every) / len(every)
    print(f"vtd_core: {share:.2f} % of {len(every)} lines in {len(found)} files run by host tests",
          file=to)
    if share < LEAST:
        sys.exit(f"less than {LEAST} %")


def main():
    """Measures and judges the coverage."""
    judge(measure())


if __name__ == "__main__":
    main()
