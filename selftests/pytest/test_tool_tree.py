# SPDX-License-Identifier: GPL-2.0
"""`vtd tree` and its picture, read by an XML parser, and by this lab's own reading of dumps."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import tarfile
import termios
import xml.etree.ElementTree as xml

import pytest

from vtdlab import cache as lab
from vtdlab.build import tool
from vtdlab.evidence import decoder, dump

DUMPS = lab.checkout() / "tools/vtd/tests/dumps"
BY_SCRIPT = DUMPS / "by-script.tar.gz"
SVG = "{http://www.w3.org/2000/svg}"
NUMBER = re.compile(r"\bdomains? \d")
TIMEOUT = 120
BOX = 60    # a box is wider than this; the legend's are not


@pytest.fixture(scope="module", name="program")
def _program():
    return tool.build()


def _draw(program, path, picture):
    """Draws a dump; returns the tree, the picture, and its parts."""
    done = subprocess.run([program, "--dump", path, "tree", "--svg", picture], check=True,
                          capture_output=True, text=True, timeout=TIMEOUT)
    text = picture.read_text(encoding="utf-8")
    return done.stdout, text, xml.fromstring(text)


def _boxes(svg):
    return [[float(rect.get(name)) for name in ("x", "y", "width", "height")]
            for rect in svg.iter(f"{SVG}rect") if rect.get("x") and float(rect.get("width")) > BOX]


def _is_apart(one, other):
    return any(first[at] + first[at + 2] <= second[at] for at in (0, 1)
               for first, second in ((one, other), (other, one)))


def _is_inside(one, other):
    return all(other[at] <= one[at] and one[at] + one[at + 2] <= other[at] + other[at + 2]
               for at in (0, 1))


@pytest.mark.parametrize("name", ["by-script", "client"])
def test_the_picture(program, tmp_path, name):
    """It is well-formed, has every device and no script or external content; no frames cross."""
    path = DUMPS / f"{name}.tar.gz"
    _, text, svg = _draw(program, path, tmp_path / "machine.svg")
    assert len(text) < 40 << 10
    assert not [word for word in ("<script", "href", "url(", "@import", "<image") if word in text]
    words = "\n".join(part.text or "" for part in svg.iter(f"{SVG}text"))
    assert not [bdf for bdf, device in dump.Saved(path).devices.items()
                if device["unit"] and bdf not in words]
    height, boxes = float(svg.get("height")), _boxes(svg)
    assert len(boxes) > 20 and all(box[1] + box[3] <= height for box in boxes)
    for one in boxes:
        for other in boxes:
            assert _is_apart(one, other) or _is_inside(one, other) or _is_inside(other, one), (
                one, other)


def _names():
    with tarfile.open(BY_SCRIPT) as archive:
        return [member.name for member in archive if member.isfile()]


@pytest.mark.parametrize("name", _names())
def test_a_damaged_dump_is_a_whole_picture(program, tmp_path, name):
    """Whatever one file has; the rest is drawn."""
    with tarfile.open(BY_SCRIPT) as archive:
        archive.extractall(tmp_path, filter="data")
    path = tmp_path / name
    good = path.read_bytes()
    for bad in (good[:len(good) // 2], b"\0\n=\n====\n<&>\"'\n" + good,
                good.replace(b"-", b"</text><script>\xff")):
        path.write_bytes(bad)
        try:
            _, text, _ = _draw(program, tmp_path / "vtd-dump", tmp_path / "machine.svg")
        except subprocess.CalledProcessError as err:
            assert name.endswith("/about") and "format 1" in " ".join(err.stderr.split())
            continue
        assert "<script" not in text


def _on_terminal(columns, *argv):
    """Returns the lines that a program writes to a terminal of this size."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=its,
                          env=os.environ | {"LC_ALL": "C.UTF-8"}) as child:
        os.close(its)
        text = b""
        try:
            while got := os.read(ours, 4096):
                text += got
        except OSError:    # the end of a terminal
            pass
        assert child.wait(TIMEOUT) == 0
    os.close(ours)
    return re.sub(r"\x1b\[[HJ]", "", text.decode()).replace("\r", "").splitlines()


@pytest.mark.parametrize("columns", [50, 80, 132, 0])
def test_a_tree_fits_the_terminal(program, tmp_path, columns):
    """No line is wider, and no word is missing unless it is cut. A terminal may have no size."""
    whole, _, _ = _draw(program, DUMPS / "client.tar.gz", tmp_path / "machine.svg")
    assert max(map(len, whole.splitlines())) > 132
    lines = _on_terminal(columns, program, "--dump", DUMPS / "client.tar.gz", "tree")
    assert max(map(len, lines)) <= (columns or 80)
    assert len(lines) > len(whole.splitlines()) + 5
    words = [[word for word in re.findall(r"[^\s│]+", text) if "…" not in word]
             for text in (whole, "\n".join(lines))]
    assert ("…" in "".join(lines)) == (columns == 50)
    assert columns == 50 or words[0] == words[1]
    assert _on_terminal(200, program, "--dump", DUMPS / "client.tar.gz",
                        "tree") == whole.splitlines()


def test_top_fits_the_terminal(program, tmp_path):
    """A row of large numbers is in two lines where it does not fit in one."""
    unit = tmp_path / "sys/kernel/debug/vtd/dmar0"
    unit.mkdir(parents=True)
    (unit / "waits").write_text("longer: 1\n", encoding="utf-8")
    (unit / "statistics").write_text("".join(
        f"{name}: 18446744073709551615\n"
        for name in ("maps", "unmaps", "descriptors", "waits", "faults")), encoding="utf-8")
    argv = (program, "--root", tmp_path, "top", "-n", "1", "-i", "0.1")
    for columns, heads in ((80, 1), (40, 2)):
        lines = [line for line in _on_terminal(columns, *argv) if line]
        assert max(map(len, lines)) <= columns and len(lines) == 2 * heads, lines
        assert " ".join(lines[:heads]).split() == [
            "unit", "maps/s", "unmaps/s", "descr./s", "waits/s", "faults/s", "waited"]


@pytest.mark.parametrize("name", ["by-script", "client"])
def test_the_answer_for_programs(program, tmp_path, name):
    """Units, devices and domains are those that this lab reads."""
    path = DUMPS / f"{name}.tar.gz"
    done = subprocess.run([program, "--json", "--dump", path, "tree"], check=True,
                          capture_output=True, text=True, timeout=TIMEOUT)
    found, saved = json.loads(done.stdout), dump.Saved(path)
    assert found["driver"] == "vtd" and found["problems"] == []
    devices = {device["device"]: device | {"unit": unit["name"]} for unit in found["units"]
               for device in unit["devices"]}
    assert set(devices) == {bdf for bdf, device in saved.devices.items() if device["unit"]}
    for bdf, device in devices.items():
        read = saved.devices[bdf] | {"owner": saved.owners[device["group"]]}
        assert {name: device[name] for name in read if name != "domain"} == {
            name: value for name, value in read.items() if name != "domain"}
        assert device["domain"].strip("#") == read["domain"].strip("#")
    assert {domain["name"].partition("#")[2]: domain["mapped"] for domain in found["domains"]} == {
        number.strip("#"): mapped for number, mapped in saved.mapped.items()}
    for unit in found["units"]:
        facts = {name: saved.files[f"units/{unit['name']}/{name}"].strip()
                 for name in ("cap", "ecap", "domains_used")}
        able = dict(decoder.capabilities(int(facts["cap"], 16), int(facts["ecap"], 16)))
        assert (unit["tables"], unit["page_sizes"]) == (able["page tables"], able["page sizes"])
        assert unit["domain_ids"]["used"] == int(facts["domains_used"])
    assert len(found["units"]) == {"by-script": 1, "client": 2}[name]


def test_a_number_is_no_domain_id(program, tmp_path):
    """A domain's number has a '#', also of an older dump; the domain-id, which the log uses, follows
    in parentheses."""
    for name in ("by-script", "client"):
        text, picture, _ = _draw(program, DUMPS / f"{name}.tar.gz", tmp_path / "machine.svg")
        assert "domain #4 (domain-id" in text and ">domain #4<" in picture
        for drawn in (text, picture):
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


def test_the_page_has_what_the_program_draws(program, tmp_path):
    """The tree and the picture of Documentation/inspecting.rst."""
    text, picture, _ = _draw(program, DUMPS / "client.tar.gz", tmp_path / "machine.svg")
    page = lab.checkout() / "Documentation/inspecting.rst"
    shown = [line.strip() for line in page.read_text(encoding="utf-8").splitlines()]
    assert not [line for line in text.splitlines() if line.strip() not in shown]
    assert (page.parent / "inspecting/machine.svg").read_text(encoding="utf-8") == picture


@pytest.mark.parametrize("source, words", [
    ("src/unit/snapshot.rs", ("enabled", "disabled", "failed (all requesters blocked)")),
    ("src/report/debugfs/interrupts.rs", ("remapped, devices isolated",))])
def test_the_samples_are_what_the_driver_prints(source, words):
    """The words on which tools/vtd/tests/tree.rs relies."""
    text = (lab.checkout() / source).read_text(encoding="utf-8")
    sample = (lab.checkout() / "tools/vtd/tests/tree.rs").read_text(encoding="utf-8")
    for word in words:
        assert word in text
        assert word in sample or word == "disabled"
