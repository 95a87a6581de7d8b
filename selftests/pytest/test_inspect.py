# SPDX-License-Identifier: GPL-2.0
"""vtd-inspect on a dump of a real guest, on damaged dumps, on files that are no dump."""

import io
import os
import re
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

from vtdlab import cache as lab
from vtdlab import inspectsvg, inspecttext, walk_query
from vtdlab.errors import LabError
from vtdlab.inspectdump import MOST_BYTES, Dump
from vtdlab.inspectmodel import Machine

SAVED = Path(__file__).parent / "inspect/vtd-dump.tar.gz"
SVG = "{http://www.w3.org/2000/svg}"


def machine(files):
    """Returns the machine of a dump that has these files."""
    return Machine(Dump({"about": "format 1\nkernel 7.3.4\ndriver vtd\n", **files}))


def files_of_saved():
    """Returns the files of the saved dump."""
    return dict(Dump.read(SAVED).files)


@pytest.fixture(name="saved")
def _saved():
    return Machine(Dump.read(SAVED))


def test_the_saved_guest(saved):
    """Reads units, groups, owners and domains of the dump in the checkout, which a guest wrote."""
    assert saved.driver == "vtd" and saved.problems == []
    assert [unit.name for unit in saved.units] == ["dmar0"]
    disk = saved.devices["0000:01:00.0"]
    assert disk.kind == "NVMe" and disk.driver == "nvme"
    assert disk.above == ("0000:00:08.0",) and disk.root == "0000:00"
    group, domain = saved.groups[disk.group], saved.domains[disk.domain]
    assert group.owner == "kernel" and group.type == "DMA"
    assert domain.kind == "DMA" and not domain.lazy and domain.tables > 1 and domain.mapped > 0
    unit = saved.units[0]
    assert sum(unit.waits.values()) == unit.counts["waits"] > 0


@pytest.mark.parametrize("state, style", [("enabled", "s"), ("disabled", "s"),
                                          ("failed (all requesters blocked)", "f")])
def test_the_state_of_a_unit(state, style):
    """The tree has it in full; the picture has a failed unit in another colour."""
    source = (lab.checkout() / "src/unit/snapshot.rs").read_text(encoding="utf-8")
    assert f'"{state}"' in source, "not what the driver prints"
    found = machine({"units/dmar0/address": "fed90000",
                     "vtd/dmar0/registers": f"dmar0 at 0xfed90000, {state}\n"})
    assert any(line.endswith(f"at fed90000, {state}") for line in inspecttext.draw(found))
    shown = [text.get("class") for text in xml.fromstring(inspectsvg.draw(found)).iter(f"{SVG}text")
             if (text.text or "").startswith(state.split()[0])]
    assert shown == [style]


def test_the_tree(saved):
    """The text has every device once, the disk below its port, with groups and owners."""
    lines = list(inspecttext.draw(saved))
    for bdf in saved.devices:
        assert sum(bdf in line for line in lines) == 1
    port = next(at for at, line in enumerate(lines) if "─ 0000:00:08.0" in line)
    assert "│  └─ 0000:01:00.0" in lines[port + 1] and "kernel" in lines[port + 1]


def test_the_entries_of_devices(saved):
    """The text and the picture have the interrupt entries of each device, the text also what its
    unit guarantees."""
    source = (lab.checkout() / "src/report/debugfs/interrupts.rs").read_text(encoding="utf-8")
    assert "remapped, devices isolated" in source, "not what the driver prints"
    disk, rest = "0000:01:00.0", "vector 0x23 at 0x1, from 01:00.0"
    entries = "".join(f"{index:>5} {disk} {rest}\n" for index in (1, 2, 3, 7))
    found = Machine(Dump(files_of_saved() | {"vtd/dmar0/interrupts":
        f"dmar0: remapped, devices isolated; on, table at 0x1000, 5 of 256 entries in use\n{entries}"
        f"    8 0000:00:04.0 absent, from 00:04.0\n"}))
    assert found.devices[disk].entries == [1, 2, 3, 7] and found.devices[disk].faults == 0
    lines = list(inspecttext.draw(found))
    assert any("interrupts: remapped, devices isolated; on" in line for line in lines)
    (line,) = (line for line in lines if disk in line)
    assert line.rstrip().endswith("interrupts 1-3, 7")
    assert any("0000:00:04.0" in line and "interrupts 8" in line for line in lines)
    texts = [part.text for part in xml.fromstring(inspectsvg.draw(found)).iter(f"{SVG}text")]
    assert "interrupts 1-3, 7" in texts and "interrupts 8" in texts
    assert not [line for line in inspecttext.draw(saved) if "interrupts 1" in line]


def test_a_machine_without_a_driver():
    """vtd save writes a dump of it; both say that there is none."""
    found = machine({"about": "format 1\nkernel 7.3.4\ndriver none\n", **dict([LISTED])})
    text = list(inspecttext.draw(found))
    assert text[0] == "no driver on Linux 7.3.4" and text[-1] == "behind no unit: 0000:00:05.0"
    assert "no driver on Linux 7.3.4" in inspectsvg.draw(found)


def _boxes(svg):
    return [[float(rect.get(name)) for name in ("x", "y", "width", "height")]
            for rect in svg.iter(f"{SVG}rect") if rect.get("x") and float(rect.get("width")) > 60]


def test_the_picture(saved):
    """The picture is well-formed, has no scripts or external content; frames do not cross."""
    text = inspectsvg.draw(saved)
    assert len(text) < 40 << 10
    assert not [word for word in ("<script", "href", "url(", "@import", "<image") if word in text]
    svg = xml.fromstring(text)
    words = "\n".join(part.text or "" for part in svg.iter(f"{SVG}text"))
    for device in saved.devices.values():
        assert not device.unit or device.bdf in words
    height = float(svg.get("height"))
    for one in (boxes := _boxes(svg)):
        assert one[1] + one[3] <= height
        for other in boxes:
            apart = (one[0] + one[2] <= other[0] or other[0] + other[2] <= one[0]
                     or one[1] + one[3] <= other[1] or other[1] + other[3] <= one[1])
            inside = all(other[at] <= one[at] and one[at] + one[at + 2] <= other[at] + other[at + 2]
                         for at in (0, 1))
            around = all(one[at] <= other[at] and other[at] + other[at + 2] <= one[at] + one[at + 2]
                         for at in (0, 1))
            assert apart or inside or around, (one, other)


GROUPS = ("group=3 owner=iommufd device=0000:00:05.0 driver=vfio-pci unit=dmar0 attached=unmanaged "
          "domain=#9 domain-id=5 faults=2 requesters=00:05.0\n"
          "group=4 owner=nobody device=0000:00:06.0 driver=- unit=dmar0 attached=blocked domain=- "
          "domain-id=- faults=0 requesters=00:06.0\n"
          "group=- owner=kernel device=0000:00:07.0 driver=ahci unit=- attached=untranslated "
          "domain=- domain-id=- faults=0 requesters=-\n")
DOMAINS = ("domain=#9 units=dmar0:5:1 mapped-bytes=3145728 unmapped-bytes=1048576 tables=4 "
           "leaves-2m=1 leaves-1g=0 lazy=no\ndomain=#11 units=- mapped-bytes=0 unmapped-bytes=0 "
           "tables=1 lazy=no\n")


def test_owners_are_distinguished():
    """A user's group, one without an owner, a device without a group, a domain without a device."""
    found = machine({"vtd/groups": GROUPS, "vtd/domains": DOMAINS, "units/dmar0/version": "1:0"})
    assert (found.groups["3"].owner, found.groups["3"].via) == ("user", "iommufd")
    assert found.groups["4"].owner == "nobody" and set(found.groups) == {"3", "4"}
    assert found.devices["0000:00:07.0"].attached == "untranslated"
    text = "\n".join(inspecttext.draw(found))
    assert "user (iommufd)" in text and "2 MiB mapped, 4 tables, 1 large page" in text
    assert "no device is in domain #11" in text and "0000:00:07.0" in text
    xml.fromstring(inspectsvg.draw(found))


LISTED = ("pci", "device=0000:00:05.0 class=0x010802 driver=vfio-pci group=3 "
          "path=/sys/devices/pci0000:00/0000:00:05.0\n")
NUMBER = re.compile(r"\bdomains? \d")


def _drawn(files):
    """Returns all words of text and picture."""
    found = machine(files)
    return "\n".join(inspecttext.draw(found)), inspectsvg.draw(found)


@pytest.mark.parametrize("sign", ["#", ""], ids=["now", "in older dumps"])
def test_a_number_is_no_domain_id(sign):
    """A domain's number has a '#'; the domain-id, which the log uses, follows in parentheses."""
    files = {"vtd/groups": GROUPS.replace("#", sign), "vtd/domains": DOMAINS.replace("#", sign),
             "units/dmar0/devices": "0000:00:05.0\n", **dict([LISTED])}
    text, picture = _drawn(files)
    assert "domain #9 (domain-id 5)" in text
    assert ">domain #9<" in picture and "domain-id dmar0:5" in picture
    for drawn in (text, picture, *_drawn(files_of_saved())):
        assert not NUMBER.search(drawn) and "##" not in drawn


def test_no_text_of_the_driver_has_a_bare_domain_number():
    """No fault line, descriptor or file has a bare number: it is `domain-id N` or `domain #N`."""
    sources = [path for path in (lab.checkout() / "src").rglob("*.rs")
               if "tests" not in path.relative_to(lab.checkout()).parts]
    assert sources
    wrong = [f"{path.relative_to(lab.checkout())}: {line.strip()}" for path in sources
             for line in path.read_text(encoding="utf-8").splitlines()
             if re.search(r'"[^"]*\bdomain[ =]\{', line)]
    assert not wrong
    pages = [lab.checkout() / "README.md", *(lab.checkout() / "Documentation").glob("*.rst")]
    assert not [page.name for page in pages if NUMBER.search(page.read_text(encoding="utf-8"))]


def test_faults_that_are_not_counted_are_unknown():
    """"None" is printed only if there is a counter, and it is 0."""
    files = {"units/dmar0/devices": "0000:00:05.0\n", **dict([LISTED])}
    for counted, words in (("faults=2 ", "2 faults"), ("faults=0 ", "no fault"),
                           ("faults=? ", "faults unknown"), ("", "faults unknown")):
        text, picture = _drawn({**files, "vtd/groups": GROUPS.replace("faults=2 ", counted),
                                "vtd/domains": DOMAINS})
        line = next(line for line in text.splitlines() if "0000:00:05.0" in line)
        assert line.endswith(words)
        assert (words in picture) == (words != "no fault")
    text, picture = _drawn({**files, "about": "format 1\nkernel 7.3.4\ndriver in-tree\n"})
    assert "faults unknown" in text and "faults unknown" in picture and "no fault" not in text


def test_the_in_tree_driver():
    """Groups come from sysfs, domains from context entries."""
    found = machine({
        "about": "format 1\nkernel 7.3.4\ndriver in-tree\n",
        "pci": "device=0000:00:03.0 class=0x020000 driver=e1000e group=1 "
               "path=/sys/devices/pci0000:00/0000:00:03.0\n",
        "units/dmar0/devices": "0000:00:03.0\n", "types": "group=1 type=DMA-FQ\n",
        "intel/dmar_translation_struct": "IOMMU dmar0: Root Table Address: 0x1000\nB.D.F\tRoot\n"
        "00:03.0\t0x0000000000000000:0x0000000100001001\t"
        "0x0000000000000502:0x0000000100002001\t-1    \t0x0:0x0:0x0\n"})
    domain = found.domains["dmar0:5"]
    assert domain.width == "48" and domain.groups == [found.groups["1"]]
    assert found.groups["1"].owner == "kernel" and not found.problems


@pytest.mark.parametrize("name", sorted(files_of_saved()) if SAVED.exists() else [])
def test_a_truncated_or_missing_file_is_tolerated(name):
    """The rest is drawn; the broken line is reported."""
    files = files_of_saved()
    text = files[name]
    for cut in (None, "", text[:len(text) // 2], text[:-1], "\0\n=\n====\n" + text, "-" * 200):
        hurt = {key: value for key, value in files.items() if key != name}
        if cut is not None:
            hurt[name] = cut
        try:
            found = Machine(Dump(hurt))
        except LabError as err:
            assert name == "about" and "format 1" in str(err)
            continue
        assert list(inspecttext.draw(found))
        xml.fromstring(inspectsvg.draw(found))


def test_a_truncated_line_is_reported():
    """The broken files are reported, and the others are read."""
    found = machine({"vtd/groups": GROUPS[:-90], "vtd/domains": "domain=9 uni\n"})
    assert "3" in found.groups
    assert any("line 1 of vtd/domains" in problem for problem in found.problems)
    assert "What could not be read" in "\n".join(inspecttext.draw(found))


def test_markup_stays_text():
    """Text of a dump cannot become markup of the picture."""
    hostile = GROUPS.replace("driver=-", "driver=</text><script>1</script>")
    text = inspectsvg.draw(machine({"vtd/groups": hostile, "units/dmar0/version": "<&>"}))
    assert "<script" not in text and xml.fromstring(text) is not None


def _archive(path, members):
    with tarfile.open(path, "w") as archive:
        for name, data, kind in members:
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, len(data)
            member.linkname = "/etc/passwd" if kind != tarfile.REGTYPE else ""
            archive.addfile(member, io.BytesIO(data))
    return path


def test_an_archive_cannot_reach_other_files(tmp_path):
    """Links, and names outside the dump, are ignored."""
    path = _archive(tmp_path / "dump.tar", [
        ("vtd-dump/about", b"format 1\nkernel 1\n", tarfile.REGTYPE),
        ("vtd-dump/users", b"", tarfile.SYMTYPE), ("/etc/shadow", b"x", tarfile.REGTYPE),
        ("../x", b"x", tarfile.REGTYPE)])
    assert set(Dump.read(path).files) == {"about"}
    assert not list(tmp_path.glob("*/*"))


def test_a_dump_too_large_is_refused(tmp_path):
    """It is refused before it is read."""
    path = _archive(tmp_path / "dump.tar", [("vtd-dump/about", b"format 1\n", tarfile.REGTYPE),
                                            ("vtd-dump/x", bytes(MOST_BYTES), tarfile.REGTYPE)])
    with pytest.raises(LabError, match="no dump of vtd-save"):
        Dump.read(path)


def _run(*args):
    program = lab.checkout() / "scripts/vtd-inspect"
    done = subprocess.run([sys.executable, "-I", str(program), *map(str, args)], text=True,
                          capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_the_program(tmp_path):
    """The program draws; if it cannot, one sentence says why."""
    code, said, _ = _run("--dump", SAVED, "--svg", tmp_path / "out.svg")
    assert code == 0 and "dmar0" in said and (tmp_path / "out.svg").read_text().startswith("<svg")
    half = tmp_path / "half.tar.gz"
    half.write_bytes(SAVED.read_bytes()[:400])
    empty = tmp_path / "empty.tar"
    empty.write_bytes(b"")
    for args, why in ((("--dump", half), "no whole tar archive"),
                      (("--dump", empty), "no whole tar archive"),
                      (("--dump", tmp_path / "none"), "cannot be read"),
                      (("--dump", tmp_path), "no dump of vtd-save"),
                      (("--dump", SAVED, "--svg", tmp_path / "no/where.svg"), "cannot be written"),
                      ((), "remapping unit|only root|not mounted")):
        code, _, problem = _run(*args)
        assert code == 1 and problem.count("\n") == 1, problem
        assert any(part in problem for part in why.split("|")), problem


def _program(name, *args, stdout=subprocess.PIPE, **env):
    """Returns status, standard output as bytes (unless redirected) and standard error."""
    done = subprocess.run([sys.executable, str(lab.checkout() / "scripts" / name), *map(str, args)],
                          stdout=stdout, stderr=subprocess.PIPE, timeout=60, check=False,
                          env={**os.environ, **env})
    return done.returncode, done.stdout, done.stderr.decode()


def test_output_that_cannot_be_written(tmp_path):
    """A closed pipe ends the program without a message, for little and much output; a full disk is
    reported in one sentence."""
    log = tmp_path / "log"
    log.write_text("DMAR: DRHD: handling fault status reg 2\n")
    for argv in (("vtd-inspect", "--dump", SAVED), ("vtd-fault-decode", log)):
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "wb") as pipe:
            assert _program(*argv, stdout=pipe) == (141, None, "")
        with open("/dev/full", "wb") as full:
            code, _, problem = _program(*argv, stdout=full)
        assert code == 1 and problem.count("\n") == 1 and "No space left on device" in problem


@pytest.mark.parametrize("env", [
    {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}], ids=str)
def test_an_encoding_without_the_signs_of_trees(env):
    """The same tree is drawn, character by character, in ASCII."""
    _, whole, _ = _program("vtd-inspect", "--dump", SAVED, PYTHONIOENCODING="utf-8")
    code, plain, problem = _program("vtd-inspect", "--dump", SAVED, **env)
    assert (code, problem) == (0, "")
    text = whole.decode().translate(str.maketrans("└├│─", "`||-"))
    assert plain.decode("ascii") == text and "`- root bus" in text


class Asked:
    """A file that returns the requested walk, or an error."""

    def __init__(self, *answers):
        self.answers, self.questions = list(answers), []

    def write_text(self, text, **_):
        """Like pathlib.Path."""
        self.questions.append(text)

    def read_text(self, **_):
        """Like pathlib.Path."""
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer


def test_a_walk_is_the_requested_one():
    """A walk for another request is not accepted; the number of attempts is limited."""
    good = "0000:00:05.0 0xffffe000\nlevel 1\nA read is refused.\n"
    other = good.replace("05.0", "06.0")
    asked = Asked(other, good.replace("0xffffe000", "0x1000"), "", good)
    assert walk_query.ask("00:05.0", "0xFFFFE000", asked) == good.splitlines()
    assert asked.questions == ["00:05.0 0xFFFFE000"] * 4
    with pytest.raises(LabError, match="try again"):
        walk_query.ask("00:05.0", "0xffffe000", Asked(*[other] * 10))


@pytest.mark.parametrize("number, words", [(22, "is no requester and address"),
                                           (13, "takes root"), (2, "vtd loaded")])
def test_a_walk_that_cannot_be_requested(number, words):
    """One sentence says why."""
    with pytest.raises(LabError, match=words):
        walk_query.ask("00:05.0", "0x1000", Asked(OSError(number, "why")))
