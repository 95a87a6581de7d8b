# SPDX-License-Identifier: GPL-2.0
"""Runs `cargo test` on vtd_core, on the driver's files under loom, and on the program vtd; a result
for each test."""

import os
import re
import subprocess
import threading

from vtdlab import cache as lab

TIMEOUT = 900
LINE = re.compile(r"^test (?P<name>.+?) \.\.\. (?P<what>ok|FAILED|ignored)(?P<rest>.*)$")
SUITE = re.compile(r"^\s+(?:Running (?:unittests )?(\S+)|Doc-tests (\S+))")
OUTCOMES = {"ok": "passed", "FAILED": "failed", "ignored": "skipped"}
TAIL = 60
MANIFESTS = ("Cargo.toml", "src/core/tests/concurrency/Cargo.toml", "tools/vtd/Cargo.toml")


class Broken(Exception):
    """cargo itself failed."""


def run(result):
    """Runs all tests and passes each result to `result`."""
    for manifest in MANIFESTS:
        _run(manifest, result)


def _run(manifest, result):
    cache = lab.Cache()
    env = dict(os.environ, CARGO_TARGET_DIR=str(cache.cargo_target("cargo-target")),
               CARGO_TERM_COLOR="never")
    path = lab.checkout() / manifest
    argv = ["cargo", "test", "--no-fail-fast", "--manifest-path", str(path)]
    suite, lines, counted = "", [], 0
    with subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as child:
        watchdog = threading.Timer(TIMEOUT, child.kill)
        watchdog.start()
        try:
            for line in child.stdout:
                lines.append(line.rstrip("\n"))
                if found := SUITE.match(line):
                    suite = found[1] or f"doc {found[2]}"
                elif found := LINE.match(line):
                    counted += 1
                    result(f"{suite}: {found['name']}", OUTCOMES[found["what"]],
                           found["rest"].strip() or "see the output of cargo below")
        finally:
            watchdog.cancel()
    name = "cargo" if path.parent == lab.checkout() else f"cargo-{path.parent.name}"
    log = lab.checkout() / f"out/check/{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if child.returncode or not counted:
        raise Broken(f"cargo test on {manifest} ended with status {child.returncode} after {counted} tests; "
                     f"the end of {log}:\n" + "\n".join(lines[-TAIL:]))
