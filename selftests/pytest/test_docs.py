# SPDX-License-Identifier: GPL-2.0
"""The pages agree with the sources: paths, tests, parameters, locks, counters and reason codes
that are written down in both are compared. What Sphinx knows by itself, such as references, tables and
the table of contents, is in test_docs_html.py. Only the standard library is needed here:

    python3 -m pytest --noconftest selftests/pytest/test_docs.py
"""

import os
import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
DOCS = TOP / "Documentation"
PAGES = sorted(DOCS.glob("*.rst"))
EVERYTHING = [TOP / "README.md", *PAGES]
LONGEST = 400

LITERAL = {".rst": re.compile(r"``([^`]+)``", re.S), ".md": re.compile(r"(?<!`)`([^`\n]+)`(?!`)")}
FOLDERS = tuple(f"{path.name}/" for path in TOP.iterdir()
                if path.is_dir() and path.name not in ("out", "target", ".git"))
ROOT_FILE = re.compile(r"^(?:Kbuild|Makefile|Cargo\.toml|COPYING|README\.md|\.rustfmt\.toml)$")
TEST_OF = re.compile(r"^(?P<file>[\w./-]+\.(?:rs|py|c))::(?P<name>[\w-]+)$")
RESULT_OF = re.compile(r"^(?P<file>[\w./-]+\.sh): (?P<name>.+)$")


def text(path):
    """Returns the text of a page or a source file."""
    return path.read_text(encoding="utf-8")


def literals(path):
    """Returns everything that a page sets in literal type, on one line each."""
    return [re.sub(r"\s+", " ", found) for found in LITERAL[path.suffix].findall(text(path))]


def section(page, heading):
    """Returns the lines below a heading of a page, up to the next heading."""
    lines = text(DOCS / page).splitlines()
    at = lines.index(heading) + 2
    ends = [n for n in range(at, len(lines) - 1)
            if lines[n] and re.fullmatch(r"([=\-~])\1{2,}", lines[n + 1])]
    return lines[at:ends[0]] if ends else lines[at:]


def terms(page, heading):
    """Returns the terms of the definition list in a section: lines that are a literal."""
    found = [re.fullmatch(r"``([^`]+)``(?: \(default .*\))?", line)
             for line in section(page, heading)]
    return [term[1] for term in found if term]


def rows(page, heading):
    """The first column of the table in a section, as far as it is a literal."""
    return [row[1] for line in section(page, heading)
            if (row := re.match(r"``([^`]+)``  +\S", line))]


def sources(*folders):
    """Returns all Rust sources below these folders, without tests."""
    return [path for folder in folders for path in sorted((TOP / folder).rglob("*.rs"))
            if "tests" not in path.relative_to(TOP).parts]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_form(page):
    """A page has a licence, one title, and a readable length."""
    lines = text(page).splitlines()
    assert lines[0] == ".. SPDX-License-Identifier: GPL-2.0"
    long = [line for line in lines if not re.match(r"0x[0-9a-f]{2}  ", line)]
    assert len(long) <= LONGEST, f"{len(long)} lines, reason codes left out"
    assert lines[2] == lines[4] and set(lines[2]) == {"="}, "no title below the licence"
    assert text(page).endswith("\n"), "the end is cut off"


@pytest.mark.parametrize("page", sorted(TOP.glob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Those of Markdown; Sphinx checks the others."""
    for target in re.findall(r"\]\(([^)#]+)\)", text(page)):
        assert (TOP / target).exists(), target


@pytest.mark.parametrize("page", EVERYTHING, ids=lambda page: page.name)
def test_paths_exist(page):
    """A file of the checkout that a page names exists, and so does the test in it."""
    for word in literals(page):
        if word.startswith("tools/testing/"):   # the kernel's
            continue
        named = TEST_OF.match(word) or RESULT_OF.match(word)
        path = named["file"] if named else word
        if not (named or ROOT_FILE.match(path) or
                (path.startswith(FOLDERS) and re.fullmatch(r"[\w./-]+", path))):
            continue
        assert (TOP / path).exists(), f"{path} does not exist"
        if named:
            pattern = rf"(?<![\w-]){re.escape(named['name'])}(?![\w-])"
            assert re.search(pattern, text(TOP / path)), f"{path} has no {named['name']!r}"


@pytest.mark.parametrize("picture", sorted(DOCS.glob("pictures/*.dot")),
                         ids=lambda picture: picture.name)
def test_rooms_in_a_picture_exist(picture):
    """What is drawn in bold as a place of the sources is one."""
    names = re.findall(r"[\w./-]+", " ".join(re.findall(r"<b>([^<]+)</b>", text(picture))))
    rooms = [name for name in names if name.split("/")[0] in ("src", "rust")]
    assert rooms
    for room in rooms:
        assert (TOP / room).exists(), room


@pytest.mark.parametrize("page", EVERYTHING, ids=lambda page: page.name)
def test_nothing_of_the_authors_machine(page):
    """No page names a home directory, a cache folder or a package server."""
    found = re.findall(r"/root/\S*|/work/\S*|/home/\S*|https?://(?!docs\.kernel\.org)\S+", text(page))
    assert not found


@pytest.mark.parametrize("page", EVERYTHING, ids=lambda page: page.name)
def test_make_targets_exist(page):
    """The Makefile has each target that a page names."""
    targets = set(re.findall(r"^([a-z_-]+):", text(TOP / "Makefile"), re.M))
    for word in literals(page):
        if word.startswith("make ") and " -C " not in word:
            asked = [part for part in word.split()[1:] if "=" not in part]
            assert set(asked) <= targets, word


def test_module_parameters():
    """The page lists each parameter of module! and the helpers with its default, and no other."""
    block = re.search(r"params: \{(.*?)\n    \},", text(TOP / "src/vtd_main.rs"), re.S)
    params = dict(re.findall(r"(\w+): \w+ \{\s*default: ([^,]+),", block[1] if block else ""))
    # The macro has no strings.
    strings = [name for path in sorted((TOP / "rust/helpers").glob("*.c"))
               for name in re.findall(r"^module_param_string\((\w+),", text(path), re.M)]
    params |= dict.fromkeys(strings, "nothing")
    assert terms("parameters.rst", "Module parameters") == list(params)
    summary = re.search(r"^\*\*Parameters\*\*.*?\n\n", text(TOP / "README.md"), re.M | re.S)[0]
    assert sorted(re.findall(r"`(\w+)`", summary)) == sorted(params)
    body = "\n".join(section("parameters.rst", "Module parameters"))
    for name, default in params.items():
        assert f"``{name}`` (default {default})" in body


def test_files_in_sysfs_and_debugfs():
    """The files that report/ and driver/ create are described, and nothing else."""
    report = "".join(text(path) for path in sources("src/report", "src/driver"))
    made = set(re.findall(r'read_only\(\s*c"(\w+)"|name: c"(\w+)"|callback_file\(\s*c"(\w+)"'
                          r'|File::new\(\s*c"(\w+)"|\(c"(\w+)", \w+::show_all\)', report))
    made = {name for names in made for name in names if name}
    described = {Path(name).name for name in terms("parameters.rst", "Files")}
    assert described == made


def test_counters():
    """The page lists each line of the statistics file, in order."""
    made = re.findall(r'^    \w+ "([\w-]+)"$', text(TOP / "src/report/debugfs/statistics.rs"), re.M)
    assert made and terms("benchmarks.rst", "What is counted") == made


def test_reason_codes():
    """The table equals the driver's: every code, the same words."""
    source = text(TOP / "src/core/describe/fault.rs")
    known = {int(code, 16): words for code, words in
             re.findall(r'^\s+(0x[0-9a-f]+) => "([^"]+)"', source, re.M)}
    table = {int(code, 16): words.strip() for code, words in
             re.findall(r"^(0x[0-9a-f]{2})  +(\S.*)$", text(DOCS / "faults.rst"), re.M)}
    assert known and table == known


def test_locks():
    """Each lock that the code creates is in the lock order, and no other is."""
    made = set()
    for path in sources("src", "rust"):
        made |= set(re.findall(r'new_\w*(?:mutex|spinlock)!\([^;]*?, c?"([^"]+)"\)', text(path)))
    listed = re.findall(r'^\s+- "([^"]+)"', "\n".join(section("architecture.rst", "Lock order")),
                        re.M)
    assert made and sorted(listed) == sorted(made)


def test_invariants_are_gathered():
    """Each file that states invariants is named on the page that collects them."""
    stating = {str(path.relative_to(TOP)) for path in sources("src", "rust")
               if "# Invariants" in text(path)}
    assert stating <= set(literals(DOCS / "invariants.rst"))


def test_every_guest_test_is_described():
    """The two tables have a row for each selftests/*.sh and each way to boot, and no other."""
    tests = [f"selftests/{path.name}" for path in sorted((TOP / "selftests").glob("*.sh"))
             if os.access(path, os.X_OK)]
    assert tests and rows("testing.rst", "Guest tests") == tests
    boots = re.findall(r'Boot\("([\w-]+)"', text(TOP / "selftests/pytest/boots.py"))
    assert boots and sorted(rows("testing.rst", "Boots")) == sorted(boots)


def test_mistakes_are_counted():
    """As many as the models make: in the caches, and for each law of the concurrency."""
    tests, page = TOP / "src/core/tests", text(DOCS / "proofs.rst")
    caches = text(tests / "caches_bugs.rs").count("_noticed: ")
    assert f"makes {caches} mistakes" in page
    made = {}
    for path in sorted((tests / "concurrency/src").glob("*.rs")):
        for block in re.findall(r"^laws! \{\n(.*?)^\}", text(path), re.M | re.S):
            law = re.search(r"^    (\w+): ", block, re.M)
            made[f"{path.relative_to(TOP)}::{law[1]}"] = block.count("_noticed: ")
    listed = re.findall(r"^``(\S+concurrency/src/\S+)``  +(\d+): ", page, re.M)
    assert made and {law: int(count) for law, count in listed} == made


def test_tables_of_the_corpus_are_counted():
    """All of them, and those that the kernel itself does not survive."""
    lost = re.search(r"KERNEL_LOST = \{(.*?)\}", text(TOP / "selftests/pytest/guest_firmware.py"),
                     re.S)
    every = list((TOP / "src/core/tests/dmar_corpus").glob("*.dmar"))
    page = text(DOCS / "robustness.rst")
    assert f"of the {len(every)} tables" in page and f"on {lost[1].count(',')} others" in page


def test_kernel_options_are_those_that_are_checked():
    """README.md names the options that scripts/kdir requires."""
    checked = re.search(r"for name in ([A-Z_ ]+); do", text(TOP / "scripts/kdir"))
    needed = {f"CONFIG_{name}" for name in ["RUST", *checked[1].split()]}
    assert needed <= set(literals(TOP / "README.md"))
    configs = "".join(text(path) for path in sorted((TOP / "scripts/config").iterdir()))
    for page in EVERYTHING:
        for word in literals(page):
            if re.fullmatch(r"CONFIG_\w+", word):
                assert word in configs or word in needed, word


def trace_events():
    """Returns the name of each trace event with its fields: (type, name) pairs."""
    header = text(TOP / "rust/helpers/trace.h")
    for event in re.split(r"^TRACE_EVENT\(", header, flags=re.M)[1:]:
        yield event.split(",")[0], [
            (kind or "string", name) for kind, name in
            re.findall(r"^\t\t__(?:field\((\w+), |string\()(\w+)", event, re.M)]


def test_trace_events():
    """Each field is in the events' entries, in order and with its type, and on the page. So is each
    name of a value."""
    page = text(DOCS / "trace-events.rst")
    entries = dict(zip(*[iter(re.split(r"^What:\t\t/sys/kernel/tracing/events/vtd/(\w+)$", text(
        DOCS / "ABI/testing/tracefs-events-vtd"), flags=re.M)[1:])] * 2))
    assert [name for name, _ in trace_events()] == list(entries)
    for event, fields in trace_events():
        said = re.search(r"Fields: (.*?)\.\n(?=\n|Users)", entries[event], re.S)[1]
        order = [f"{kind} {name}" for kind, name in fields]
        words = re.sub(r"\([^)]*\)|,", " ", said.replace(" and ", " ")).split()
        assert [f"{kind} {name}" for kind, name in zip(words, words[1:])
                if re.fullmatch(r"[us]\d+|bool|string", kind)] == order
        for _, name in fields:
            assert f"``{name}``" in page, f"{event}: {name}"
    for value in re.findall(r'\{ VTD_(?!CACHE_OTHER)\w+, "([\w-]+)" \}', text(TOP / "rust/helpers/trace.h")):
        assert f"``{value}``" in page or f" {value} " in page, value


def test_each_file_of_the_driver_has_an_entry_of_the_kernels_form():
    """Documentation/ABI has the files that the page lists, and each entry has what the kernel's have."""
    listed = set(re.findall(r"^``(/sys/kernel/(?:debug/)?(?:vtd|iommu/intel)/\S+)``$", text(DOCS / "parameters.rst"), re.M))
    listed |= {f"/sys/class/iommu/dmarN/intel-iommu/{name}" for name in terms("parameters.rst", "Files")
               if re.fullmatch(r"\w+", name)}
    listed |= {f"/sys/kernel/tracing/events/vtd/{name}" for name, _ in trace_events()}
    entries = [entry for path in sorted((DOCS / "ABI/testing").iterdir())
               for entry in text(path).split("\n\nWhat:")]
    found = re.findall(r"^(?:What:)?\t\t(/sys/\S+)$", "\n".join(entries), re.M)
    assert len(listed) > 12 and set(found) == listed and len(found) == len(listed)
    for entry in entries:
        fields = re.findall(r"^(\w+):(?=\t|$)", "What:" * (not entry.startswith("What:")) + entry, re.M)
        assert fields == ["What", "Date", "KernelVersion", "Contact", "Description", "Users"][:len(fields)]
        assert len(fields) >= 5
