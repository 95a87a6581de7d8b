# SPDX-License-Identifier: GPL-2.0
"""The layers of the code, see Documentation/architecture.rst: no two rooms use each other, and no
room uses one that its row in FLOORS does not name. The `use` lines are read."""

from pathlib import Path

import pytest

from vtdlab.checks.imports import Imports

TOP = Path(__file__).resolve().parents[2]
FOLDERS = ("src", "rust", "bench")

# From the bottom up. A room is a folder with all its files, or a file without its ".rs".
FLOORS = {
    "rust": (),
    "src/core": (),
    "rust/tables": ("rust", "src/core"),
    "src/unit": ("rust", "src/core"),
    "src/device": ("rust", "src/core", "src/unit"),
    "src/domain": ("rust", "rust/tables", "src/core", "src/unit", "src/device"),
    "src/machine": ("rust", "src/core", "src/unit", "src/device", "src/domain"),
    "src/report": ("rust", "src/core", "src/unit", "src/device", "src/domain", "src/machine"),
    "src/driver": ("rust", "src/core", "src/unit", "src/device", "src/domain", "src/machine",
                   "src/report"),
    "src/vtd_main": ("rust", "src/unit", "src/driver"),
    "rust/bench": ("rust",),
    "bench": ("rust", "rust/bench"),
}


def room(name):
    """Returns the room that a file is in."""
    return max((one for one in FLOORS if name.removesuffix(".rs") == one or
                name.startswith(f"{one}/")), key=len)


@pytest.fixture(scope="module", name="imports")
def _imports():
    return Imports(TOP, FOLDERS)


def test_each_room_is_on_a_floor(imports):
    assert {room(name) for name in imports.files} == set(FLOORS)
    assert len(imports.arrows) > len(imports.files), "hardly a `use` line was understood"


def test_rooms_use_what_is_below_them(imports):
    wrong = [f"{name} uses {to} ({', '.join(sorted(what))})"
             for (name, to), what in imports.arrows.items()
             if room(name) != room(to) and room(to) not in FLOORS[room(name)]]
    assert not wrong, "not in FLOORS"


def test_floors_are_in_order():
    below = set()
    for name, used in FLOORS.items():
        assert below >= set(used), f"{name} uses what is above it"
        below.add(name)


def test_no_two_folders_use_each_other(imports):
    """Folders are listed at any depth."""
    assert not imports.circles(lambda name: str(Path(name).parent))


def test_no_two_files_use_each_other(imports):
    assert not imports.circles()
