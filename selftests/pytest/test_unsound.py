# SPDX-License-Identifier: GPL-2.0
"""What the compiler enforces. Code like that of src/, which has no unsafe, cannot misuse what
rust/ provides; and the compiler compares our declarations of what is in a header private to
drivers/iommu with that header."""

import json
import os
import re
import shlex
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from vtdlab import cache as lab
from vtdlab.build import kernel, module

TIMEOUT = 120
HERE = Path(__file__).parent / "unsound"
MARK = re.compile(r"//~((?: E\d{4})+)$")
# The flags for the input and the outputs, and the file itself.
PRODUCTS = re.compile(r"--(?:emit|out-dir)\b")


def _build(series):
    """Returns the folder in which the module was compiled for a series, with its products."""
    cache = lab.Cache()
    built = kernel.get(cache, series)
    module.get(cache, built)
    work = module.work_folder(cache, built, "module-build")
    with cache.lock(f"module-build-{work.name}"):
        module.sync(module.sources(lab.checkout()), work)
        module.build(work, built, work / "build.log", text=f"vtd.ko for Linux {built.release}",
                     extra=module.VTD.arguments)
    return work


def _command(work):
    """Returns (environment, words): how Kbuild compiled the driver's crate, without the file."""
    saved = (work / "src/.vtd_main.o.cmd").read_text(encoding="utf-8").splitlines()[0]
    words = shlex.split(saved.partition(" := ")[2].partition(" ;")[0])
    start = words.index("rustc")
    kept, skip = [], False
    for word in words[start:]:
        if not skip and not PRODUCTS.match(word) and word != "src/vtd_main.rs":
            kept.append(word)
        skip = word == "--out-dir"
    return dict(word.split("=", 1) for word in words[:start]), kept


def _errors(work, file, folder):
    """Returns (line, code) of each error, counted; a lint has its name as code."""
    env, words = _command(work)
    argv = [*words, "--crate-name", "unsound", "-Dunsafe_code", "--error-format=json",
            "--emit=metadata", "-o", str(folder / "unsound.rmeta"), str(file)]
    # The kernel's Makefile sets this for its few unstable features.
    said = subprocess.run(argv, cwd=work, env={**os.environ, **env, "RUSTC_BOOTSTRAP": "1"},
                          capture_output=True, text=True, timeout=TIMEOUT, check=False)
    found = Counter()
    for line in said.stderr.splitlines():
        assert line.startswith("{"), said.stderr
        message = json.loads(line)
        if message["level"] == "error" and message["spans"]:
            at = next(span for span in message["spans"] if span["is_primary"])
            assert message["code"], message["message"]
            found[at["line_start"], message["code"]["code"]] += 1
    assert said.returncode == bool(found), said.stderr
    return found


def _marks(file):
    """Returns the errors that the comments of a file expect."""
    lines = enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
    return Counter((number, code) for number, line in lines if (mark := MARK.search(line))
                   for code in mark[1].split())


@pytest.fixture(scope="module", name="work")
def _work():
    return _build(kernel.SERIES[0])


def test_right_use_compiles(work, tmp_path):
    """The correct code, from which the other files differ by a word or two, compiles."""
    assert not _errors(work, HERE / "sound.rs", tmp_path)


@pytest.mark.parametrize("name", ["unsafe", "types", "fields", "names"])
def test_misuse_does_not_compile(name, work, tmp_path):
    """Each marked line is an error, for the marked reason, and no other line is."""
    file = HERE / f"{name}.rs"
    expected = _marks(file)
    assert expected
    assert _errors(work, file, tmp_path) == expected


def test_unsafe_code_is_denied(work, tmp_path):
    """src/ denies unsafe in src/vtd_main.rs; these files represent src/."""
    assert "#![deny(unsafe_code)]" in (lab.checkout() / "src/vtd_main.rs").read_text(encoding="utf-8")
    text = (HERE / "unsafe.rs").read_text(encoding="utf-8")
    file = tmp_path / "unsafe.rs"
    file.write_text(re.sub(r"^    (tables\.follow\(0x1000\)).*$", r"    unsafe { \1 }", text,
                           flags=re.M), encoding="utf-8")
    codes = Counter(code for _, code in _errors(work, file, tmp_path).elements())
    assert codes["unsafe_code"] == 1


@pytest.mark.parametrize("series", kernel.SERIES)
def test_private_header_is_compared(series):
    """helpers.c includes iommu-pages.h, so the compiler checks our declarations against it."""
    text = (_build(series) / "rust/helpers/.helpers.o.cmd").read_text(encoding="utf-8")
    assert re.search(r"\bdrivers/iommu/iommu-pages\.h\b", text)
