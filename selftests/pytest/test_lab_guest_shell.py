# SPDX-License-Identifier: GPL-2.0
"""`make guest` without a guest: what it refuses, where it keeps results, the keys, a saved table."""

import argparse
import asyncio
import os
import pty
import re
import struct
import subprocess
import sys
import tarfile
import termios
import time

import pytest

from test_lab_shell import SCRIPTS, make, run
from vtdlab.build import preload
from vtdlab.cache import Cache, checkout
from vtdlab.commands import guest
from vtdlab.errors import LabError
from vtdlab.guest import accel, acpi, machines, qemu, saved_table, terminal

NOW = time.struct_time((2026, 11, 30, 2, 3, 4, 0, 334, 0))
ROOT = acpi.UNIT_BASE


def options(*argv):
    """Returns the parsed options."""
    parser = argparse.ArgumentParser()
    guest.add_arguments(parser)
    return parser.parse_args(["--run", "true", *argv])


@pytest.mark.parametrize("argv, sentence", [
    (("--driver", "vtf"), "there is no driver 'vtf' (did you mean vtd?); there are vtd, intree, none."),
    (("--machine", "serv"), "there is no machine 'serv' (did you mean server?)"),
    (("--machine", "/dev/null"), "MACHINE=/dev/null has no DMAR table"),
    (("--iommu", "intree"), "IOMMU=intree: it takes options of QEMU's intel-iommu, such as caching-mode=on; "
                            "DRIVER=intree chooses the driver."),
    (("--kernel", "arch"), "there is no kernel 'arch'"),
    (("--accel", "xen"), "ACCEL=xen is none of auto, kvm, tcg."),
    (("--timeout", "0"), "A timeout of 0 s is none"),
    (("--device", "edu,addr='1"), "cannot be divided into words: No closing quotation."),
])
def test_a_wrong_argument_is_a_sentence_before_anything_is_built(argv, sentence, monkeypatch, tmp_path):
    """Neither a kernel is built nor a folder made."""
    monkeypatch.setattr(guest.testbed, "get", lambda *_, **__: pytest.fail("something was built"))
    monkeypatch.setattr(guest.signal, "signal", lambda *_: None)
    with pytest.raises(LabError) as error:
        guest.main(options("--out", str(tmp_path / "out"), *argv))
    assert sentence in str(error.value)
    assert not (tmp_path / "out").exists()


def test_the_script_knows_every_option():
    """scripts/vtd-guest refuses an unknown one, and describes each, before the build root is made."""
    parser = argparse.ArgumentParser(add_help=False)
    guest.add_arguments(parser)
    known = set(re.findall(r"--([a-z]+)", parser.format_usage()))
    script = (SCRIPTS / "vtd-guest").read_text(encoding="utf-8")
    assert {"gdb", *re.search(r'names="(.*)"', script)[1].split("|")} == known
    assert set(re.findall(r"^#.*--([a-z]+) ", script, re.M)) | {"kernel", "gdb"} == known


def test_without_a_terminal_there_must_be_a_command():
    done = subprocess.run([sys.executable, "-m", "vtdlab", "guest"], check=False, capture_output=True,
                          stdin=subprocess.DEVNULL, text=True, timeout=60)
    assert done.returncode == 1 and done.stdout == ""
    assert "There is no terminal for a shell, and no command" in done.stderr


def test_devices_are_words_or_options_of_qemu():
    assert guest.further(["edu,addr=10.0 pci-testdev", "-netdev user,id=n"]) == [
        "-device", "edu,addr=10.0", "-device", "pci-testdev", "-netdev", "user,id=n"]


def test_each_guest_has_a_folder_and_the_last_one_a_link(tmp_path):
    """Two guests of one second do not share a folder."""
    names = [guest.new_folder(tmp_path / "guest", NOW).name for _ in range(2)]
    assert names == ["2026-11-30-020304", "2026-11-30-020304-2"]
    assert os.readlink(tmp_path / "guest/last") == names[1]
    assert sorted(os.listdir(tmp_path / "guest")) == [*names, "last"]


def test_the_command_is_passed_on_as_it_is(tmp_path):
    """make expands nothing in it; an empty one is refused."""
    for name in ("scripts", "bad"):
        (tmp_path / name).mkdir()
    script = tmp_path / "scripts/vtd-guest"
    script.write_text('#!/bin/sh\nprintf "[%s]" "$@"\n')
    script.chmod(0o755)
    (tmp_path / "Makefile").write_text((checkout() / "Makefile").read_text())
    words = "echo $HOME \"$(shell touch bad/file)\" 'q'  #x; exit 3"
    assert make("guest", f"RUN={words}", "MACHINE=/a b", "GDB=1", "DEVICE=-netdev x", "DRIVER=none",
                top=tmp_path) == (0, f"[--run={words}][--device=-netdev x][--machine=/a b][--driver]"
                                     "[none][--gdb]")
    assert not list((tmp_path / "bad").iterdir())
    assert make("guest", "GDB=0", top=tmp_path) == (0, "[]")
    status, text = make("guest", "RUN=", top=tmp_path)
    assert status == 2 and "RUN is given without a value" in text


@pytest.mark.parametrize("name", ["server", "x/dump.tar"])
def test_a_table_of_this_machine_is_put_into_the_build_root(tmp_path, name):
    """A machine's name is no file, even where one has that name."""
    (tmp_path / "x").mkdir()
    (tmp_path / name).write_text("x")
    for file in ("vtd-guest", "enter"):
        (tmp_path / file).write_text((SCRIPTS / file).read_text() if file == "vtd-guest" else
                                     '#!/bin/sh\necho "$VTD_BIND" "$@"\n')
        (tmp_path / file).chmod(0o755)
    done = subprocess.run([tmp_path / "vtd-guest", "--machine", name, "--gdb"], check=False, text=True,
                          capture_output=True, cwd=tmp_path, timeout=60)
    wanted = (f"{tmp_path / name} python3 -m vtdlab guest --machine={tmp_path / name} --gdb\n" if "/" in name
              else " python3 -m vtdlab guest --machine=server --gdb\n")
    assert (done.stdout, done.stderr) == (wanted, "")


class FakeGuest:
    """Stores what it is sent."""

    def __init__(self):
        self.lines, self.ended = [], False

    def push(self, line):
        self.lines.append(line)

    async def quit(self):
        self.ended = True


class Writer:
    """Stores the keys."""

    def __init__(self):
        self.keys = b""

    def write(self, data):
        self.keys += data


def test_keys_reach_the_guest_but_for_the_one_that_leaves(tmp_path):
    """Ctrl-C is a key as any other; the terminal is restored."""
    outer, inner = pty.openpty()
    before = termios.tcgetattr(inner)

    async def typed():
        session = terminal.Terminal(None, tmp_path / "log", inner, inner)
        session.guest, session.writer = FakeGuest(), Writer()
        session.begin()
        for keys, wanted in ((b"ls\r\x03\x04", b"ls\r\x03\x04"), (b"more\x1d", b"ls\r\x03\x04")):
            os.write(outer, keys)
            await asyncio.sleep(0.1)
            assert session.writer.keys == wanted
            assert session.left == session.guest.ended == (b"\x1d" in keys)
        session.end()
        session.end()

    asyncio.run(typed())
    assert termios.tcgetattr(inner) == before


def test_kvm_that_started_no_guest_is_not_tried_again_until_the_next_boot(tmp_path, monkeypatch):
    cache, device = Cache(tmp_path), tmp_path / "kvm"
    assert accel.Choice("auto", cache, device).name == "tcg"
    with pytest.raises(LabError, match="cannot be used"):
        accel.Choice("kvm", cache, device)
    device.touch()
    choice = accel.Choice("auto", cache, device)
    assert choice.name == "kvm" and choice.patience
    choice.failed()
    assert choice.name == "tcg" and choice.patience is None
    assert accel.Choice("auto", cache, device).name == "tcg"
    forced = accel.Choice("kvm", cache, device)
    assert forced.name == "kvm"
    with pytest.raises(LabError, match="no line"):
        forced.failed()
    another = tmp_path / "boot_id"
    another.write_text("another")
    monkeypatch.setattr(accel, "BOOT_ID", another)
    assert accel.Choice("auto", cache, device).name == "kvm"


def test_qemu_gets_a_port_only_for_a_terminal(tmp_path):
    machine = qemu.Machine(tmp_path, tmp_path, [], [], accel="kvm")
    words = " ".join(qemu.arguments(machine, tmp_path, tmp_path))
    assert "accel=kvm,kernel-irqchip=split" in words and "terminal" not in words
    machine.terminal = object()
    words = " ".join(qemu.arguments(machine, tmp_path, tmp_path))
    assert "isa-serial,index=2,chardev=terminal" in words and "8250.share_irqs=1" in words


# A laptop's: the unit of the graphics device is where intel-iommu is.
LAPTOP = acpi.dmar(units=[acpi.Unit(ROOT, acpi.endpoints("0000:00:02.0", "0000:00:02.1")),
                          acpi.Unit(ROOT + 0x1000)])


def test_a_saved_table_makes_the_units_that_it_lists():
    """The unit that has all the rest is intel-iommu, and the other one gets the address in exchange."""
    layout = saved_table.layout(LAPTOP, "laptop")
    (unit,) = layout.units
    assert (unit.base, unit.scope) == (ROOT + 0x1000, "02.0/02.1")
    assert [(one.base, one.everything) for one in saved_table.units(layout.firmware)] == [
        (ROOT + 0x1000, False), (ROOT, True)]
    assert sum(layout.firmware) & 0xFF == 0
    assert [word for word in layout.below(None) if word != "-device"] == [
        "edu,bus=pcie.0,addr=02.0,dma_mask=0xffffffffffffffff"]
    assert layout.notes[0] == "laptop: 2 units, and an edu at 02.0"


def test_a_unit_that_serves_nothing_here_exists(tmp_path):
    """vtd refuses a unit that does not respond."""
    far = acpi.Unit(ROOT + 0x5000, acpi.bridges("0000:80:00.0"))
    layout = saved_table.layout(acpi.dmar(units=[far, far, acpi.Unit(ROOT)]), "server")
    assert [unit.scope for unit in layout.units] == ["1d.0", "1d.1"]
    many = [acpi.Unit(ROOT + 0x1000 * number, far.scopes) for number in range(1, 11)]
    layout = saved_table.layout(acpi.dmar(units=[*many, acpi.Unit(ROOT)]), "large")
    assert len(layout.units) == 8 and any("only 9 of the units exist" in note for note in layout.notes)
    words = qemu.arguments(qemu.Machine(tmp_path, tmp_path, [], layout.units[0].words()), tmp_path, tmp_path)
    assert preload.is_needed(words)


@pytest.mark.parametrize("place", ["DMAR", "acpi/DMAR", "vtd-dump/acpi/DMAR", "dump.tar", "dump.tar.gz",
                                   "mine.aml"])
def test_a_table_is_found_in_a_file_a_folder_or_a_dump(tmp_path, place):
    if "dump.tar" in place:
        (tmp_path / "raw").write_bytes(LAPTOP)
        with tarfile.open(tmp_path / place, "w:gz" if place.endswith("gz") else "w") as archive:
            archive.add(tmp_path / "raw", "vtd-dump/acpi/DMAR")
        path = tmp_path / place
    else:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(LAPTOP)
        path = tmp_path / place if place == "mine.aml" else tmp_path
    assert len(saved_table.get(str(path)).units) == 1


@pytest.mark.parametrize("raw, sentence", [
    (b"", "has no DMAR table"), (b"\x1f\x8b\x08", "has no DMAR table"), (LAPTOP[:-1], "would refuse"),
    (acpi.dmar(units=[], more=(b"\0\0\3\0",)), "3 bytes at 0x30"),
    (acpi.dmar(units=[], more=(struct.pack("<HH", 1, 99),)), "99 bytes at 0x30"),
    (acpi.dmar(units=[]), "lists no unit"),
])
def test_what_is_no_table_is_refused_with_a_sentence(tmp_path, raw, sentence):
    path = tmp_path / "file"
    path.write_bytes(raw)
    with pytest.raises(LabError, match=sentence):
        saved_table.get(str(path))
    with pytest.raises(LabError, match="has no DMAR table"):
        saved_table.get(str(tmp_path))


def test_every_table_of_the_corpus_is_a_machine_or_a_sentence():
    """Hostile ones, too: nothing but LabError is raised."""
    taken = 0
    for path in sorted((checkout() / "src/core/tests/dmar_corpus").glob("*.dmar")):
        try:
            layout = saved_table.get(str(path))
        except LabError:
            continue
        taken += 1
        scopes = [name for unit in layout.units for name in unit.scope.split("/")]
        assert len(scopes) == len(set(scopes)), f"{path.name}: a function has two units"
        assert all(int(name[:2], 16) < 32 and "0" <= name[3:] < "8" for name in scopes), path.name
        assert acpi.replacing(layout.firmware) == layout.firmware
        bases = [machines.acpi.UNIT_BASE, *(unit.base for unit in layout.units)]
        assert len(saved_table.units(layout.firmware)) >= len(bases)
    assert taken > 80


def test_help_of_the_script():
    inside = {name: os.environ[name] for name in ("VTD_INSIDE", "VTD_CACHE", "PYTHONPATH")}
    status, text = run([SCRIPTS / "vtd-guest", "--help"], **inside)
    assert status == 0 and "--driver" in text
