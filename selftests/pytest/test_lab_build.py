# SPDX-License-Identifier: GPL-2.0
"""Kernel configuration, the archive's package lists, and the copy that is compiled."""

import fcntl
import os
import struct
import subprocess
import termios
import time

import pytest

from vtdlab import progress
from vtdlab.build import buildlog, kconfig, kernel, module
from vtdlab.build.archive import Archive
from vtdlab.cache import Cache, checkout
from vtdlab.commands import check
from vtdlab.errors import LabError


def test_unmet_names_missing_changed_and_unwanted_options():
    wanted = kconfig.parse("CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n"
                           "# a comment\nCONFIG_D=y\n# CONFIG_E is not set\n")
    got = kconfig.parse("CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=y\n# CONFIG_D is not set\n")
    assert kconfig.unmet(wanted, got) == [
        "CONFIG_B=m (is y)", "CONFIG_C=n (is y)", "CONFIG_D=y (is n)"]
    assert not kconfig.unmet(got, got)


def test_the_fragment_makes_devices_modules_and_leaves_the_intree_driver_off():
    options = kconfig.parse(kconfig.fragment("test"))
    for name in ("BLK_DEV_NVME", "E1000E", "IGB", "VIRTIO_PCI", "VIRTIO_BLK", "VFIO_PCI"):
        assert options[f"CONFIG_{name}"] == "m", name
    assert options["CONFIG_INTEL_IOMMU_DEFAULT_ON"] == "n"
    assert options["CONFIG_INTEL_IOMMU"] == "y"


def test_series_is_one_of_ours():
    assert kernel.series_wanted({}) == "7.3"
    assert kernel.series_wanted({"SERIES": "7.2"}) == "7.2"
    with pytest.raises(LabError, match="SERIES=6.1 "):
        kernel.series_wanted({"SERIES": "6.1"})


class Answers(Archive):
    """An archive with the given packages: series to madison's lines."""

    def __init__(self, cache, lines):
        super().__init__(cache)
        self.lines = lines

    def _query(self, tool, *args):
        if args[0] == "pkgnames":
            return "\n".join(self.lines)
        return self.lines.get(args[1], "")


def test_newest_takes_apts_first_binary_and_names_what_there_is(tmp_path):
    archive = Answers(Cache(tmp_path), {
        "linux-source-7.3": " linux-source-7.3 | 7.3.9-1 | a trixie-backports/main Sources\n"
                            " linux-source-7.3 | 7.3.4-1 | a trixie-backports/main amd64\n"
                            " linux-source-7.3 | 7.3.2-1 | a trixie-backports/main amd64\n",
        "linux-source-6.12": " linux-source-6.12 | 6.12.5-1 | a trixie/main amd64\n",
        "linux-source-rt": " linux-source-rt | 1 | a trixie/main amd64\n"})
    assert archive.newest("7.3") == "7.3.4-1"
    with pytest.raises(LabError) as caught:
        archive.newest("7.2")
    text = str(caught.value)
    assert "no linux-source-7.2" in text
    assert "6.12 (6.12.5-1), 7.3 (7.3.4-1)" in text
    assert "rt" not in text.split("holds", 2)[2].split(".")[0]


def test_sources_leave_products_out_and_sync_follows_the_checkout(tmp_path):
    top, copy = tmp_path / "top", tmp_path / "copy"
    (top / "src/core").mkdir(parents=True)
    (top / "rust").mkdir()
    (top / "Kbuild").write_text("obj-m := vtd.o\n")
    (top / "src/a.rs").write_text("a")
    (top / "src/core/b.rs").write_text("b")
    for product in ("src/a.o", "src/.a.o.cmd", "rust/bindings_generated.rs", "src/liba.rmeta"):
        (top / product).write_text("x")
    files = module.sources(top)
    assert sorted(files) == ["Kbuild", "src/a.rs", "src/core/b.rs"]

    module.sync(files, copy)
    (copy / "src/a.o").write_text("product")
    stamp = (copy / "src/a.rs").stat().st_mtime_ns
    (top / "src/core/b.rs").unlink()
    (top / "src/c.rs").write_text("c")
    module.sync(module.sources(top), copy)
    assert not (copy / "src/core/b.rs").exists()
    assert (copy / "src/c.rs").read_text() == "c"
    assert (copy / "src/a.o").read_text() == "product"
    assert (copy / "src/a.rs").stat().st_mtime_ns == stamp, "an unchanged file was rewritten"


def test_each_module_is_made_from_its_own_sources():
    """The module that measures drivers has no driver's source, and vtd.ko none of its source."""
    vtd, bench = (set(module.sources(checkout(), each)) for each in module.ALL)
    assert {name for name in vtd & bench if not name.startswith("rust/")} == {"Kbuild"}
    assert "src/vtd_main.rs" in vtd and "bench/vtd_bench_main.rs" in bench
    assert not {name for name in bench if name.startswith("bench/") and not name.endswith(".rs")}


def test_sources_without_kbuild_is_a_sentence(tmp_path):
    with pytest.raises(LabError, match="no Kbuild"):
        module.sources(tmp_path)


@pytest.mark.parametrize("line", [
    "warning: unused variable: `x`", "error[E0308]: mismatched types",
    "src/a.c:3:1: warning: no prototype", "WARNING: modpost: missing MODULE_DESCRIPTION()"])
def test_complaints_finds_what_tools_say(line):
    assert line in buildlog.complaints(f"  CC [M]  a.o\n{line}\n  more\n")


def test_complaints_of_a_clean_log_is_empty():
    assert buildlog.complaints("  RUSTC [M] warning.o\n  LD [M]  vtd.ko\n") == ""


def test_errors_leaves_warnings_and_summaries_out():
    log = ("warning: unused\n --> a.rs:1\n\nerror[E0425]: cannot find `x`\n --> b.rs:2\n\n"
           "error: aborting due to 1 previous error; 1 warning emitted\n")
    assert buildlog.errors(log) == "error[E0425]: cannot find `x`\n --> b.rs:2"


def test_a_failed_step_shows_the_end_of_its_log(tmp_path):
    with pytest.raises(LabError, match="(?s)thing failed.*last words"):
        progress.run("test", "thing", ["sh", "-c", "echo last words; exit 3"],
                     tmp_path / "log", timeout=30)


@pytest.fixture(name="terminal")
def _terminal():
    """Returns a terminal of 80 columns: a stream to write to, and a reader of the shown line."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with open(slave, "w", encoding="utf-8") as stream:
        yield stream, lambda: os.read(master, 65536).decode().rsplit("\033[K", 1)[-1]
    os.close(master)


def test_the_changing_part_is_never_cut_off(terminal):
    """A long text is cut, so that the line fits a terminal of 80 columns."""
    stream, shown = terminal
    step = progress.Step("kernel", "Linux 7.3 (7.3.4-1~bpo13+1) " + "x" * 90, stream)
    assert len(shown()) == 79
    step.shown -= 1
    step.update("1,234 files compiled")
    line = shown()
    assert line.startswith("  kernel    Linux 7.3 (7.3.4-1~bpo13+1) xx") and len(line) == 79
    assert line.endswith("… ... 0 s, 1,234 files compiled")
    step.end("failed with status 3")
    assert shown().rstrip().endswith(": failed with status 3, 0 s")
    assert progress.fit("short", " ... 3 s", 79) == "short ... 3 s"
    assert progress.fit("text", " ... 3 s", 5) == " ... "


def test_the_shells_steps_cut_the_text_too(terminal, tmp_path):
    stream, shown = terminal
    subprocess.run(["bash", "-c", f". {checkout()}/scripts/lib.sh; "
                    f"show kind {'x' * 90} ' ... 3 min 07 s'"], check=True, stdout=stream,
                   env={**os.environ, "HOME": str(tmp_path)}, timeout=30)
    line = shown()
    assert line.startswith("  kind      xx") and line.endswith("x~ ... 3 min 07 s")
    assert len(line) == 79


def test_lines_of_a_log_are_counted_once_and_whole(tmp_path):
    """A growing log is counted; a half-written line counts when it is complete."""
    log = tmp_path / "log"
    log.write_bytes(b"  CC      a.o\n  AR      x.a\n  CC [M]  b")
    lines = progress.Lines(log, kernel.COMPILED[0])
    assert (lines.now(), lines.now()) == (1, 1)
    with open(log, "ab") as file:
        file.write(b".o\n  RUSTC L rust/core.o\n  HOSTCC  c.o\nCC x\n")
    assert lines.now() == 4


def test_a_step_that_counts_shows_the_count(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LOG_EVERY", 0)
    progress.run("test", "thing", ["sh", "-c", "echo '  CC  a.o'; sleep 1.2"], tmp_path / "log",
                 timeout=30, counted=kernel.COMPILED)
    assert "s, 1 files compiled\n" in capsys.readouterr().out


def test_a_step_that_never_ends_is_stopped(tmp_path):
    with pytest.raises(LabError, match="longer than 1 s"):
        progress.run("test", "thing", ["sleep", "60"], tmp_path / "log", timeout=1)


def test_a_build_that_fails_ends_the_others(monkeypatch, tmp_path):
    """The refusal must not come after the half hour that the other kernels take."""
    begun = []

    def get(series, flavour):
        begun.append((series, flavour))
        if flavour == "bad":
            raise LabError("a build broke")
        progress.run("test", flavour, ["sleep", flavour], tmp_path / flavour, timeout=60)

    monkeypatch.setattr(check.testbed, "get", get)
    start = time.monotonic()
    with pytest.raises(LabError, match="a build broke"):
        check.build([("7.3", "bad"), *[("7.3", "30")] * 8])
    assert time.monotonic() - start < 10
    assert len(begun) <= 1 + check.AT_ONCE
    begun.clear()
    wanted = [("7.3", "0"), ("7.2", "0"), ("7.3", "0.1")]
    check.build(wanted)
    assert sorted(begun) == sorted(wanted)
