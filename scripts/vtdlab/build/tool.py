# SPDX-License-Identifier: GPL-2.0
"""`make tool`: builds the program vtd (tools/vtd) as one static file, out/tool/vtd.

It has no interpreter and no library, so that it runs in any guest and initramfs. The crates come
from cargo's cache, or from the registry if they are not there yet; Cargo.lock fixes their versions.
"""

import functools
import os
import shutil
import subprocess
import threading
from pathlib import Path

from vtdlab import cache as lab
from vtdlab import progress
from vtdlab.errors import LabError

MANIFEST = "tools/vtd/Cargo.toml"
TARGET = "x86_64-unknown-linux-gnu"
STATIC = 'target.{}.rustflags=["-Ctarget-feature=+crt-static", "--remap-path-prefix={}=/cargo"]'
TIMEOUT = 900


# Guests are prepared by several threads.
_ONE = threading.Lock()


def build():
    """Returns the path of the static program, which is built once in a process."""
    with _ONE:
        return _build()


@functools.cache
def _build():
    folder = lab.Cache().cargo_target("cargo-target")
    log = lab.checkout() / "out/tool/build.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    # The program names the files of crates, and the same files have to give the same program.
    flags = STATIC.format(TARGET, os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    argv = ["cargo", "build", "--release", "--locked", "--config", flags, "--target", TARGET,
            "--manifest-path", str(lab.checkout() / MANIFEST)]
    step = progress.Step("tool", "vtd, a static program")
    done = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", timeout=TIMEOUT,
                          env=dict(os.environ, CARGO_TARGET_DIR=str(folder)))
    log.write_text(done.stdout, encoding="utf-8")
    if done.returncode:
        step.end("failed")
        raise LabError(f"The program vtd could not be built; the end of {log}:\n"
                       + "\n".join(done.stdout.splitlines()[-20:]))
    step.end()
    return folder / TARGET / "release/vtd"


def publish(program):
    """Copies the program, its man pages and its completions to out/tool; returns the folder."""
    out = lab.checkout() / "out/tool"
    for name in ("man", "completion"):
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).mkdir(parents=True)
    shutil.copy2(program, out / "vtd")
    subprocess.run([out / "vtd", "man", out / "man"], check=True, timeout=TIMEOUT)
    for shell in ("bash", "zsh", "fish"):
        text = subprocess.run([out / "vtd", "completion", shell], check=True, timeout=TIMEOUT,
                              capture_output=True).stdout
        (out / "completion" / shell).write_bytes(text)
    return out


def main(_args):
    """Builds the program; prints where it is."""
    out = publish(build())
    lab.say("tool", f"{(out / 'vtd').relative_to(lab.checkout())}; make install-tool installs it")
    return 0
