# SPDX-License-Identifier: GPL-2.0
"""Checks of the sources that do not run them.

Every function returns what it found wrong, as text; empty means nothing.
"""

import subprocess

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.build import buildlog, module
from vtdlab.errors import LabError

TIMEOUT = 300


def _run(argv, **more):
    done = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT, **more)
    return done.returncode, done.stdout


def tracked(*patterns):
    """Returns the files of the checkout that git tracks or would add, by pattern."""
    code, text = _run(["git", "-C", str(lab.checkout()), "ls-files", "-z", "-co",
                       "--exclude-standard", "--", *patterns])
    if code:
        raise LabError(f"git ls-files failed in {lab.checkout()}: {text.strip()}")
    top = lab.checkout()
    return [top / name for name in sorted(set(text.split("\0"))) if name and (top / name).is_file()]


def rustfmt(fix=False):
    """Returns files that rustfmt would change, with the change; `fix` changes them."""
    files = tracked("*.rs")
    argv = ["rustfmt", "--color", "never", "--edition", "2021", *([] if fix else ["--check"]),
            "--config-path", str(lab.checkout() / ".rustfmt.toml")]
    code, text = _run([*argv, *map(str, files)])
    return text or f"rustfmt ended with status {code}" if code else ""


def clippy(cache, kernel):
    """Returns clippy's and the compilers' warnings for the whole modules, from scratch."""
    return "".join(_clippy(cache, kernel, each) for each in module.ALL)


def _clippy(cache, kernel, each):
    work = module.work_folder(cache, kernel, f"clippy-{each.name}")
    log = work.with_suffix(".log")
    with cache.lock(f"{work.parent.name}-{work.name}"):
        module.sync(module.sources(lab.checkout(), each), work)
        _run(["find", str(work), "-name", "*.o", "-delete"])
        try:
            module.build(work, kernel, log, text=f"clippy, {each.name} on Linux {kernel.release}",
                         extra=(*each.arguments, "CLIPPY=1", "W=1"))
        except LabError as err:
            return str(err)
        return buildlog.complaints(log.read_text(encoding="utf-8", errors="replace"))


def shellcheck():
    """Returns shellcheck's output for every shell script."""
    files = [path for path in tracked("scripts", "selftests", ".ci", "debian")
             if path.suffix == ".sh" or path.read_bytes()[:64].startswith(
                 (b"#!/bin/sh", b"#!/bin/bash", b"#!/usr/bin/env bash"))]
    code, text = _run(["shellcheck", "-x", "-S", "warning", "-e", "SC2034,SC2154", *map(str, files)], cwd=lab.checkout())
    return text if code else ""


def checkpatch(kernel):
    """Returns the output of the kernel's checkpatch for C and Kbuild files.

    The tests' programs, QEMU's further units and the profiler are user-space code, where the
    kernel's own types, macros and barriers do not exist.
    """
    # It recognizes macros that define something by name, so not ours.
    kernels = "FILE_PATH_CHANGES,CONST_STRUCT,COMPLEX_MACRO,MACRO_ARG_REUSE"
    programs = [lab.checkout() / name for name in ("selftests/user", "selftests/qemu", "bench/profile")]
    # TRACE_EVENT() is written in its own form, in each header of the kernel that has one.
    events = lab.checkout() / "rust/helpers/trace.h"
    found = {kernels: [], f"{kernels},BIT_MACRO,PREFER_KERNEL_TYPES,VOLATILE": [],
             f"{kernels},OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT": [events]}
    inside, outside, _ = found.values()
    for path in tracked("*.c", "*.h", "Kbuild", "*/Kbuild"):
        if path != events:
            (outside if path.parent in programs else inside).append(path)
    said = []
    for ignored, files in found.items():
        if files:
            code, text = _run(["perl", str(kernel.source / "scripts/checkpatch.pl"), "--no-tree",
                               "--strict", "--terse", "--no-summary", "--show-types",
                               "--ignore", ignored, "-f", *map(str, files)], cwd=kernel.source)
            said.append(text if code else "")
    return "".join(said)


def spdx():
    """Returns source files whose first lines lack the licence."""
    bare = []
    for path in tracked("*.rs", "*.c", "*.h", "*.py", "*.sh", "Makefile", "Kbuild", "*/Kbuild",
                        "scripts", ".ci", "selftests"):
        head = path.read_bytes()[:300]
        # Archives have no place for it, either; kselftest's own formats have no comments.
        if b"SPDX-License-Identifier: GPL-2.0" not in head and path.suffix != ".gz" and (
                path.name not in ("config", "settings")):
            bare.append(str(path.relative_to(lab.checkout())))
    return "\n".join(bare)


def all_checks(cache, kernel):
    """Returns the function of every check by name, in the order of their cost."""
    return {
        "spdx": spdx,
        "rustfmt": rustfmt,
        "shellcheck": shellcheck,
        "checkpatch": lambda: checkpatch(kernel),
        "clippy": lambda: clippy(cache, kernel),
    }


def report(checks):
    """Runs the checks, prints what they find; returns how many found something."""
    failed = 0
    for name, check in checks.items():
        step = progress.Step("lint", name)
        text = check()
        step.end("clean" if not text else "not clean")
        if text:
            failed += 1
            print(text, flush=True)
    return failed
