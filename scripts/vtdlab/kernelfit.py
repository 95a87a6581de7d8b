# SPDX-License-Identifier: GPL-2.0
"""Whether the built module still fits the kernel it was built for.

As in lint, every function returns what it found wrong; empty means nothing.
"""

import re
import shlex
import subprocess

from vtdlab import cache as lab
from vtdlab import module

ITEM = re.compile(r"\s*pub (?:unsafe )?(?:struct|union|type|fn|const|static(?: mut)?|mod) (\w+)")
ALLOWLIST = re.compile(r"^--allowlist-(?:function|type|var|item) (.*)$", re.MULTILINE)
GENERATED = "rust/bindings/bindings_generated.rs"


def items(text):
    """Names of bindgen's items; methods, which stand in impl blocks, are none."""
    names, method = set(), False
    for line in text.splitlines():
        if line.startswith(("impl", "unsafe impl")):
            method = not line.rstrip().endswith("}")
        elif line.startswith("}"):
            method = False
        elif not method and (match := ITEM.match(line)):
            names.add(match[1])
    return names


def shadowed(ours, kernels):
    """Our items that the kernel's own bindings have too: each is a second type."""
    return sorted(items(ours) & items(kernels))


def idle(parameters, ours):
    """Allow-list patterns that take nothing, because the kernel has no such item."""
    names = items(ours)
    patterns = [" ".join(shlex.split(text)) for text in ALLOWLIST.findall(parameters)]
    return [text for text in patterns
            if not any(re.fullmatch(text, name) for name in names)]


def bindings(cache, kernel):
    """Drift between rust/bindgen_parameters and this kernel."""
    module.get(cache, kernel)
    ours = (module.work_folder(cache, kernel) / GENERATED).read_text(encoding="utf-8")
    theirs = "".join(path.read_text(encoding="utf-8") for path in
                     sorted((kernel.kdir / "rust/bindings").glob("*_generated.rs")))
    parameters = (lab.checkout() / "rust/bindgen_parameters").read_text(encoding="utf-8")
    found = [f"{name}: kernel::bindings of {kernel.release} has it too; take it from there"
             for name in shadowed(ours, theirs)]
    found += [f"{text}: takes nothing from {kernel.release}; the kernel renamed or dropped it"
              for text in idle(parameters, ours)]
    return "\n".join(found)


def judge_modinfo(text, release):
    """What is wrong with the output of modinfo for a kernel release."""
    fields, wrong = {}, []
    for line in text.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), []).append(value.strip())
    for name, want in (("name", "vtd"), ("license", "GPL")):
        if fields.get(name) != [want]:
            wrong.append(f"{name} is {fields.get(name)}, not {want}")
    for name in ("description", "author"):
        if not any(fields.get(name, [])):
            wrong.append(f"{name} is missing")
    if not any(value.split(" ")[0] == release for value in fields.get("vermagic", [])):
        wrong.append(f"vermagic {fields.get('vermagic')} is not for {release}")
    if any(fields.get("depends", [])):
        wrong.append(f"depends on {fields['depends']}, but is loaded before any other module")
    for value in fields.get("parm", []):
        name, _, about = value.partition(":")
        if not about.strip() or about.strip().startswith("("):
            wrong.append(f"the parameter {name} has no description")
    return wrong


def modinfo(cache, kernel):
    """What modinfo says about vtd.ko."""
    path = module.get(cache, kernel)
    text = subprocess.run(["modinfo", str(path)], check=True, capture_output=True, text=True,
                          timeout=60).stdout
    return "\n".join(judge_modinfo(text, kernel.release))
