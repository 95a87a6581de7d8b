# SPDX-License-Identifier: GPL-2.0
"""Which Rust file uses which: follows the `use` lines and paths of the sources to files.

A re-export is only a name: its user uses the file that it leads to."""

import re
from pathlib import Path

# Crates by the folder of their root, and the names that other crates use for them.
CRATES = {"vtd_core": "src/core", "vtd_tables": "rust/tables", "kernel_ext": "rust"}
ROOTS = {"src/vtd_main.rs", "src/core/vtd_core.rs", "rust/tables/vtd_tables.rs",
         "rust/kernel_ext.rs", "bench/vtd_bench_main.rs"}

_COMMENT = re.compile(r"//[^\n]*")
# A file's own tests are at its end.
_OWN_TESTS = re.compile(r"#\[cfg\(test\)\]\s*mod tests.*", re.S)
_USE = re.compile(r"(?P<public>\bpub(?:\([^)]*\))?\s+)?\buse\s+(?P<tree>[^;]+);")
_PATH = re.compile(r"\b(?:crate|super|" + "|".join(CRATES) + r")(?:::\w+)+")


def _split(body):
    """Returns the members of a use tree, split at its outer commas."""
    depth, member = 0, ""
    for sign in body:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if sign == "," and not depth:
            yield member
            member = ""
        else:
            member += sign
    yield member


def _expand(tree):
    """Returns the paths of a use tree, each a list of names."""
    tree = " ".join(tree.split())
    before, brace, rest = tree.partition("{")
    if not brace:
        path = [name.strip() for name in tree.partition(" as ")[0].split("::")]
        return [path[:-1] if path[-1] == "self" else path] if path != [""] else []
    return [[*before.strip().removesuffix("::").split("::"), *path]
            for member in _split(rest.rpartition("}")[0]) for path in _expand(member)]


class Imports:
    """The sources below some folders, and their arrows."""

    def __init__(self, top, folders):
        self._top = Path(top)
        self.files = sorted(str(path.relative_to(top)) for folder in folders
                            for path in (self._top / folder).rglob("*.rs")
                            if "tests" not in path.relative_to(top).parts)
        self._known = set(self.files)
        self._texts = {name: _OWN_TESTS.sub("", _COMMENT.sub(
            "", (self._top / name).read_text(encoding="utf-8"))) for name in self.files}
        self._exports = {name: self._uses(name, True) for name in self.files}
        self.arrows = {(name, to): what for name in self.files
                       for to, what in self._targets(name).items()}

    def _uses(self, name, public):
        return [path for found in _USE.finditer(self._texts[name])
                if bool(found["public"]) is public for path in _expand(found["tree"])]

    @staticmethod
    def _folder(name):
        """Returns the folder of the modules that a file declares."""
        path = Path(name)
        return path.parent if name in ROOTS or path.stem == "mod" else path.with_suffix("")

    def _crate(self, name):
        return max((str(Path(root).parent) for root in ROOTS
                    if name.startswith(f"{Path(root).parent}/")), key=len)

    def _file(self, folder):
        """Returns the file of the module whose children are in a folder, or None."""
        for root in ROOTS:
            if Path(root).parent == folder:
                return root
        return next((str(path) for path in (folder.with_suffix(".rs"), folder / "mod.rs")
                     if str(path) in self._known), None)

    def _resolve(self, name, path, depth=0):
        """Returns the file that a path leads to, and what it names there; None outside."""
        folder, path = self._folder(name), list(path)
        first = path.pop(0)
        if first == "crate":
            folder = Path(self._crate(name))
        elif first == "super":
            folder = folder.parent
            while path and path[0] == "super":
                folder, path = folder.parent, path[1:]
        elif first in CRATES:
            folder = Path(CRATES[first])
        elif self._file(folder / first):
            folder = folder / first
        elif first != "self":
            return None
        while path and self._file(folder / path[0]):
            folder, path = folder / path[0], path[1:]
        file = self._file(folder)
        if path and file and depth < 8:
            for export in self._exports[file]:
                if export[-1] == path[0]:
                    found = self._resolve(file, export, depth + 1)
                    return found and (found[0], [*found[1], *path[1:]])
        return file and (file, path)

    def _targets(self, name):
        private = _USE.sub("", self._texts[name])
        paths = self._uses(name, False) + [at.split("::") for at in _PATH.findall(private)]
        found = {}
        for path in paths:
            to = self._resolve(name, path)
            if to and to[0] != name:
                found.setdefault(to[0], set()).add("::".join(to[1]) or "(module)")
        return found

    def circles(self, room=lambda name: name):
        """Returns groups of rooms (by default files) that use each other. A module and its parts
        it may do so: a folder and those in it, a `mod.rs` and the files in its folder."""
        def are_one(one, other):
            above = Path(one).parent if Path(one).name == "mod.rs" else Path(one)
            return above in Path(other).parents

        uses = {}
        for name, to in self.arrows:
            if (room(name) != room(to) and not are_one(name, to) and not are_one(to, name)
                    and not are_one(room(name), room(to)) and not are_one(room(to), room(name))):
                uses.setdefault(room(name), set()).add(room(to))

        def reached(start):
            seen, todo = set(), [start]
            while todo:
                for to in uses.get(todo.pop(), set()) - seen:
                    seen.add(to)
                    todo.append(to)
            return seen

        all_reached = {name: reached(name) for name in uses}
        return sorted({tuple(sorted(other for other in all_reached[name]
                                    if name in all_reached.get(other, set())))
                       for name in uses if name in all_reached[name]})
