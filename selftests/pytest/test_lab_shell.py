# SPDX-License-Identifier: GPL-2.0
"""The shell scripts outside the build root: their sentences, and what they never remove."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from vtdlab.cache import checkout

SCRIPTS = checkout() / "scripts"


def run(argv, **env):
    """Returns status and both outputs as one text."""
    base = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **env}
    done = subprocess.run([str(a) for a in argv], check=False, env=base, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


@pytest.fixture(name="kdir")
def fixture_kdir(tmp_path):
    """Returns a folder that looks like a kernel build which the module can use."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("rustc", "rustc 1.85.1"), ("bindgen", "bindgen 0.71")):
        (tools / name).write_text(f"#!/bin/sh\necho '{text}'\n")
        (tools / name).chmod(0o755)
    kdir = tmp_path / "kdir"
    (kdir / "include/config").mkdir(parents=True)
    (kdir / "rust").mkdir()
    (kdir / "Makefile").touch()
    (kdir / "rust/libkernel.rmeta").touch()
    (kdir / "include/config/kernel.release").write_text("7.3.4\n")
    (kdir / ".config").write_text(
        "CONFIG_RUST=y\nCONFIG_MODULES=y\nCONFIG_PCI_MSI=y\nCONFIG_ACPI=y\nCONFIG_IOMMU_API=y\n"
        'CONFIG_RUSTC_VERSION_TEXT="rustc 1.85.1"\n')
    return kdir


def look(kdir):
    return run([SCRIPTS / "kdir", kdir], PATH=f"{kdir.parent}/bin:{os.environ['PATH']}")


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_kdir_accepts_a_complete_build(kdir):
    assert look(kdir) == (0, "")


def test_kdir_names_the_compiler_that_built_the_kernel_if_it_is_here(kdir):
    (kdir / ".config").write_text((kdir / ".config").read_text() +
                                  'CONFIG_CC_VERSION_TEXT="far-gcc-14 (Debian 14.2.0) 14.2.0"\n')
    assert look(kdir) == (0, "")
    shutil.copy(kdir.parent / "bin/rustc", kdir.parent / "bin/far-gcc-14")
    assert look(kdir) == (0, "CC=far-gcc-14\n")


@pytest.mark.parametrize("spoil, sentence", [
    (lambda k: (k / ".config").unlink(), "holds no .config"),
    (lambda k: (k / "Makefile").unlink(), "holds no Makefile"),
    (lambda k: (k / "include/config/kernel.release").unlink(), "not prepared"),
    (lambda k: change(k / "include/config/kernel.release", "7.3.4", "6.12.5"), "needs 7.2"),
    (lambda k: change(k / ".config", "CONFIG_RUST=y", "# CONFIG_RUST is not set"),
     "without Rust"),
    (lambda k: change(k / ".config", "CONFIG_ACPI=y\n", ""), "without CONFIG_ACPI"),
    (lambda k: change(k / ".config", "rustc 1.85.1", "rustc 1.90.0"), "'rustc 1.90.0', and"),
    (lambda k: (k / "rust/libkernel.rmeta").unlink(), "lacks the Rust metadata"),
    *((lambda k, text=text: (k / "include/config/kernel.release").write_text(f"{text}\n"),
       f"Linux '{text}'") for text in ("foo", "7", "7.x", "-1.3", "99999999999999999999.1")),
    (lambda k: change(k / "include/config/kernel.release", "7.3.4", "6.1-rc1"), "needs 7.2"),
])
def test_kdir_names_what_is_missing(kdir, spoil, sentence):
    spoil(kdir)
    status, text = look(kdir)
    assert status == 1
    assert sentence in text
    assert len(text.splitlines()) == 1, "more than one sentence"


@pytest.mark.parametrize("release", ["7.2-rc1", "7.10.0-1-default", "8.0"])
def test_kdir_accepts_every_form_of_a_version(kdir, release):
    (kdir / "include/config/kernel.release").write_text(f"{release}\n")
    assert look(kdir) == (0, "")


@pytest.mark.parametrize("distribution, advice", [
    ("ubuntu", "apt-get install linux-lib-rust-7.3.4"), ("arch", "pacman -S linux-headers"),
    ("debian", "make debian"), ("fedora", "make modules_prepare"), ("", "make modules_prepare")])
def test_kdir_names_the_package_that_has_the_metadata(kdir, distribution, advice):
    """A kernel that was built here is an exception: no package has its metadata."""
    (kdir / "rust/libkernel.rmeta").unlink()
    (kdir.parent / "os-release").write_text(f"NAME=x\nID={distribution}\nID_LIKE=debian\n")
    env = {"PATH": f"{kdir.parent}/bin:{os.environ['PATH']}",
           "OS_RELEASE": str(kdir.parent / "os-release")}
    status, text = run([SCRIPTS / "kdir", kdir], **env)
    assert status == 1 and advice in text and len(text.splitlines()) == 1
    (kdir / "vmlinux").touch()
    assert "make modules_prepare" in run([SCRIPTS / "kdir", kdir], **env)[1]


def make(*args, top=None, **env):
    """Returns status and both outputs of make in a checkout."""
    return run(["make", "--no-print-directory", "-C", top or SCRIPTS.parent, *args], **env)


@pytest.mark.parametrize("name", ["a b", "a  b", "a:b", "a\tb"])
def test_a_path_that_the_kernels_make_cannot_use_is_refused_with_a_sentence(kdir, tmp_path, name):
    """Spaces and colons in the paths of the kernel's folder and of the checkout are refused."""
    odd = tmp_path / name
    shutil.copytree(kdir, odd / "kdir")
    status, text = make(f"KDIR={odd}/kdir")
    assert status and f"KDIR={odd}/kdir has a space or a colon" in text
    shutil.copytree(SCRIPTS, odd / "checkout/scripts")
    shutil.copy(SCRIPTS.parent / "Makefile", odd / "checkout")
    status, text = make(f"KDIR={kdir}", top=odd / "checkout")
    assert status and f"this checkout ({odd}/checkout) has a space or a colon" in text


def test_unusual_characters_in_a_path_are_kept(tmp_path):
    """A path may have a quote, and may be relative."""
    assert f"KDIR={tmp_path}/it's is no folder" in make(f"KDIR={tmp_path}/it's")[1]
    assert f"KDIR={SCRIPTS.parent}/nowhere is no folder" in make("KDIR=nowhere")[1]


@pytest.mark.parametrize("args, sentence", [
    (["KDIR="], "KDIR is given without a value"), (["KDIR= "], "KDIR is given without a value"),
    (["modules_install", "KDIR="], "KDIR is given"), (["check", "T="], "T is given"),
    (["run", "KERNEL="], "KERNEL is given"), (["bench", "ROUNDS=", "SECTION="], "SECTION ROUNDS"),
    (["bench-profile"], "ROW is missing"), (["bench-profile", "ROW="], "ROW is given"),
], ids=lambda value: value if isinstance(value, str) else " ".join(value))
def test_a_missing_value_is_refused(args, sentence):
    """A script's unset variable must not start hours of work: one sentence, immediately."""
    status, text = make(*args, KDIR="")
    assert status == 2 and sentence in text
    assert len(text.splitlines()) == 1


def test_an_empty_environment_variable_counts_as_unset():
    """An empty value in the environment counts as unset."""
    status, text = make("-n", KDIR="", T="")
    assert status == 0 and "vtdlab module" in text


def copy_scripts(tmp_path):
    """Returns a checkout with scripts only, so that distclean cannot reach the real one."""
    top = tmp_path / "checkout"
    (top / "scripts").mkdir(parents=True)
    for name in ("lib.sh", "distclean"):
        (top / "scripts" / name).write_bytes((SCRIPTS / name).read_bytes())
        (top / "scripts" / name).chmod(0o755)
    shutil.copy(SCRIPTS.parent / "Makefile", top)
    return top


PROGRAMS = ("distclean", "build-root", "debian-image", "enter", "install", "install-tool", "kdir",
            "prepare-kdir", "vtd-guest", "../fuzz/run")


def everything(*folders):
    """Returns every name below these folders, with what a change would change."""
    return {str(path): (path.lstat().st_mode, path.lstat().st_size, path.lstat().st_mtime_ns)
            for folder in folders for path in [folder, *folder.rglob("*")]}


@pytest.fixture(name="sandbox")
def fixture_sandbox(tmp_path):
    """Returns a checkout of scripts with something built in it, a cache folder, a home, and a PATH
    whose programs for downloads, systems and guests only note that they were called."""
    top = tmp_path / "checkout"
    shutil.copytree(SCRIPTS, top / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (top / "fuzz").mkdir()
    shutil.copy(SCRIPTS.parent / "fuzz/run", top / "fuzz")
    for name in ("Makefile", "Cargo.toml"):
        shutil.copy(SCRIPTS.parent / name, top)
    for name in ("out/run/report.txt", "target/x", "vtd.ko", "src/vtd.o"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()
    for name in ("cache/lock", "home", "bin", "work"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "cache/.vtd-cache").touch()
    for name in ("mmdebstrap", "bwrap", "apt-get", "cargo", "dkms", "update-initramfs",
                 "newuidmap"):
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\necho called >> {tmp_path}/called\n")
        path.chmod(0o755)
    return tmp_path


def ask(sandbox, program, *args):
    """Returns status, standard output and standard error; nothing may have changed."""
    before = everything(sandbox)
    done = subprocess.run(
        [sandbox / "checkout/scripts" / program, *args], check=False, text=True, timeout=60,
        stdin=subprocess.DEVNULL, capture_output=True, cwd=sandbox / "work",
        env={"PATH": f"{sandbox}/bin:{os.environ['PATH']}", "HOME": f"{sandbox}/home",
             "VTD_CACHE": f"{sandbox}/cache", "DESTDIR": f"{sandbox}/home",
             "PYTHONDONTWRITEBYTECODE": "1"})
    assert everything(sandbox) == before
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_printed_and_nothing_is_done(sandbox, program, option):
    status, said, problem = ask(sandbox, program, option)
    assert (status, problem) == (0, "")
    assert said.startswith("usage: ") and program.rsplit("/", 1)[-1] in said.splitlines()[0]
    assert len(said.splitlines()) > 3, "the help does not say what it is for"
    assert "SPDX" not in said and "set -" not in said


@pytest.mark.parametrize("program, args", [
    *((program, ["--unknown"]) for program in PROGRAMS),
    ("distclean", ["out"]), ("build-root", []), ("build-root", ["a", "b"]), ("debian-image", []),
    ("debian-image", ["x"]),
    ("enter", []), ("install", ["remove"]), ("install", ["uninstall", "x"]), ("kdir", []),
    ("kdir", ["a", "b"]), ("prepare-kdir", ["a", "b"]), ("prepare-kdir", ["--x", "b", "c"]),
    ("../fuzz/run", ["soon"]), ("../fuzz/run", ["3", "keep", "x"]),
], ids=lambda value: value if isinstance(value, str) else " ".join(value) or "nothing")
def test_a_wrong_argument_is_refused_with_one_sentence(sandbox, program, args):
    status, said, problem = ask(sandbox, program, *args)
    assert (status, said) == (2, "")
    assert len(problem.splitlines()) == 1, problem


@pytest.mark.parametrize("program", ["dkms-build", "dkms-installed", "place-sources", "try-packages"])
@pytest.mark.parametrize("args", [[], ["-h"], ["--help"], ["a", "b", "c"]], ids=" ".join)
def test_what_other_programs_call_takes_no_option(sandbox, program, args):
    """A folder's name cannot begin with a hyphen, so that --help is none."""
    status, said, problem = ask(sandbox, f"debian/{program}", *args)
    assert (status, said) == (2, "") and problem.startswith(f"usage: scripts/debian/{program} ")
    assert not (sandbox / "called").exists()


@pytest.mark.parametrize("name", ["init", "debian/init"])
def test_the_first_process_of_a_guest_does_nothing_on_a_host(name):
    """It would mount, and power off: its first line ends every other process. Only read here."""
    lines = (SCRIPTS / "guest" / name).read_text(encoding="utf-8").splitlines()
    code = [line for line in lines if line and not line.startswith("#")]
    assert re.fullmatch(r"\[ \$\$ = 1 \] \|\| \{ echo .* >&2; exit 2; \}", code[0])


TESTS = sorted(path for path in (SCRIPTS.parent / "selftests").glob("*.sh")
               if os.access(path, os.X_OK))


@pytest.mark.parametrize("test", TESTS, ids=lambda path: path.name)
def test_a_guest_test_prints_help_and_tests_nothing(sandbox, test):
    """Run as root it would load modules and write to disks."""
    shutil.copytree(SCRIPTS.parent / "selftests", sandbox / "selftests",
                    ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("insmod", "modprobe", "rmmod"):
        shutil.copy(sandbox / "bin/apt-get", sandbox / "bin" / name)
    program = f"../../selftests/{test.name}"
    status, said, problem = ask(sandbox, program, "--help")
    assert (status, problem) == (0, "") and said.startswith(f"usage: selftests/{test.name}\n")
    assert len(said.splitlines()) > 2 and "KTAP" not in said
    for args in (["-x"], ["all"], ["--help", "x"]):
        status, said, problem = ask(sandbox, program, *args)
        assert (status, said) == (2, "") and len(problem.splitlines()) == 1


def test_only_the_arguments_of_build_root_are_no_part_of_the_roots_key():
    """The root's key covers everything outside <arguments>, so no change goes unnoticed."""
    command = next(line.split("$(", 1)[1].split(" | ")[0] for line in
                   (SCRIPTS / "enter").read_text().splitlines() if line.startswith("root="))
    _, rest = run(["bash", "-c", command], checkout=str(checkout()))
    before, block, after = (SCRIPTS / "build-root").read_text().partition("# <arguments>")
    block, end, after = (block + after).partition("# </arguments>\n")
    assert end and rest == before + after
    assert "usage" in block and "mmdebstrap" not in block and "packages" not in block


def test_distclean_removes_only_a_folder_with_the_mark(tmp_path):
    top = copy_scripts(tmp_path)
    (top / "out").mkdir()
    (top / "vtd.ko").touch()
    cache = tmp_path / "cache"
    (cache / "lock").mkdir(parents=True)
    (cache / "precious").touch()
    before = everything(tmp_path)
    status, text = run([top / "scripts/distclean"], VTD_CACHE=str(cache))
    assert status == 1 and "mark" in text
    assert everything(tmp_path) == before
    (cache / ".vtd-cache").touch()
    status, text = run([top / "scripts/distclean"], VTD_CACHE=str(cache))
    assert status == 0, text
    assert not cache.exists() and not (top / "out").exists() and not (top / "vtd.ko").exists()


def test_distclean_leaves_a_cache_in_use_alone(tmp_path):
    top = copy_scripts(tmp_path)
    (top / "out").mkdir()
    (top / "vtd.ko").touch()
    cache = tmp_path / "cache"
    (cache / "lock").mkdir(parents=True)
    (cache / ".vtd-cache").touch()
    (cache / "lock/use").touch()
    before = everything(tmp_path)
    with subprocess.Popen(["flock", "-s", cache / "lock/use", sys.executable, "-c",
                           "print('held', flush=True); input()"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdout.readline() == b"held\n"
        for argv in (["scripts/distclean"], ["make", "distclean"]):
            done = subprocess.run(argv, check=False, cwd=top, text=True, timeout=60,
                                  env={**os.environ, "VTD_CACHE": str(cache)},
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            assert done.returncode and "is using" in done.stdout
            assert everything(top) == {name: what for name, what in before.items()
                                       if name.startswith(str(top))}
        user.communicate(b"\n", timeout=20)
    assert cache.exists()


def test_an_occupied_folder_is_never_taken_as_cache(tmp_path):
    top = copy_scripts(tmp_path)
    occupied = tmp_path / "documents"
    occupied.mkdir()
    (occupied / "thesis").touch()
    status, text = run(["bash", "-c", f". {top}/scripts/lib.sh; open_cache"],
                       VTD_CACHE=str(occupied))
    assert status == 1 and "not vtd's" in text
    assert os.listdir(occupied) == ["thesis"]


def test_a_step_that_fails_shows_its_log_and_ends_the_script(tmp_path):
    script = (f". {SCRIPTS}/lib.sh; step kind text {tmp_path}/log sh -c 'echo last words; exit 7';"
              " echo continued")
    status, text = run(["bash", "-c", script])
    assert status == 1
    assert "last words" in text and "status 7" in text and "continued" not in text
