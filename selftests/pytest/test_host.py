# SPDX-License-Identifier: GPL-2.0
"""Checks of the sources and of vtd.ko that boot nothing."""

import re
import subprocess

import pytest

from vtdlab import cache as lab
from vtdlab.build import kernel, module
from vtdlab.checks import lint

TIMEOUT = 60
CHECKS = ("spdx", "rustfmt", "shellcheck", "checkpatch", "clippy")


@pytest.fixture(scope="module", name="built")
def _built():
    cache = lab.Cache()
    found = kernel.get(cache)
    return cache, found


def test_every_check_is_listed_here(built):
    """A new check of the lint command is not left out."""
    assert tuple(lint.all_checks(*built)) == CHECKS


@pytest.mark.parametrize("name", CHECKS)
def test_sources(name, built):
    """rustfmt, clippy, shellcheck, checkpatch and licences find nothing."""
    found = lint.all_checks(*built)[name]()
    assert not found, found


def _modinfo(path):
    text = subprocess.run(["modinfo", str(path)], check=True, capture_output=True, text=True,
                          timeout=TIMEOUT).stdout
    found = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        found.setdefault(key, []).append(value.strip())
    return found


@pytest.mark.parametrize("series", kernel.SERIES)
def test_the_module_is_given_up_by_a_jump(series):
    """A domain holds a reference to the module. It drops it with its last instruction, a tail call,
    so that module_put() returns to the kernel, and not to memory that may be freed."""
    cache = lab.Cache()
    built = module.get(cache, kernel.get(cache, series))
    text = subprocess.run(["objdump", "-dr", "--no-show-raw-insn", str(built)], check=True,
                          capture_output=True, text=True, timeout=TIMEOUT).stdout.splitlines()
    calls = [before.split("\t")[1].split()[0] for before, line in zip(text, text[1:])
             if re.search(r"R_X86_64_\w+\s+module_put-", line)]
    assert calls and set(calls) == {"jmp"}


def _version(name, pattern):
    text = (lab.checkout() / name).read_text(encoding="utf-8")
    return re.search(f"^{pattern}$", text, re.M)[1]


def test_the_version_is_the_same_everywhere():
    """The module, the program and the list of changes have the version of Cargo.toml."""
    version = _version("Cargo.toml", 'version = "(.*)"')
    assert version == _version("tools/vtd/Cargo.toml", 'version = "(.*)"')
    assert version == _version("rust/helpers/version.c", r'MODULE_VERSION\("(.*)"\);')
    assert version == _version("CHANGELOG.md", r"## ([0-9.]+)")


@pytest.mark.parametrize("series", kernel.SERIES)
def test_modinfo(series):
    """The module's information is complete, and names the kernel it was built for."""
    cache = lab.Cache()
    built = kernel.get(cache, series)
    info = _modinfo(module.get(cache, built))
    assert info["name"] == ["vtd"]
    assert info["license"] == ["GPL"]
    assert re.search("VT-d|DMA remapping|IOMMU", info["description"][0])
    assert info["vermagic"][0].split()[0] == built.release
    assert info.get("author") and info["version"] == [_version("Cargo.toml", r'version = "(.*)"')]
    params = re.search(r"params: \{(.*?)\n    \},", (lab.checkout() / "src/vtd_main.rs")
                       .read_text(encoding="utf-8"), re.S)[1]
    params = re.sub(r"\\\n\s*", "", params)     # a text may be continued on the next line
    wanted = re.findall(r'(\w+): \w+ \{\s*default: [^,]+,\s*description: "([^"]+)"', params)
    # The helpers define string parameters: the kernel crate of 7.2 has none.
    texts = (lab.checkout() / "rust/helpers/parameters.c").read_text(encoding="utf-8")
    wanted += re.findall(r'MODULE_PARM_DESC\((\w+),\s*"([^"]+)"\)', texts)
    shown = {parm.rpartition(" (")[0] for parm in info["parm"]}
    assert wanted and {f"{name}:{words}" for name, words in wanted} == shown
