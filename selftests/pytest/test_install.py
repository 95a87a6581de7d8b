# SPDX-License-Identifier: GPL-2.0
"""`make install` and `make uninstall` in a scratch system: files and refusals."""

import os
import shutil
import subprocess

import pytest

from vtdlab.cache import checkout

SCRIPTS = checkout() / "scripts"
RELEASE = "7.3.4+deb13-amd64"
TOOLS = ("dkms", "make", "rustc", "bindgen", "xz", "x86_64-linux-gnu-gcc-14", "flex", "bison",
         "bc", "openssl", "python3", "update-initramfs", "update-grub")
TIMEOUT = 60


def run(system, *argv, **env):
    """Returns status and both outputs as one text."""
    base = {"PATH": os.environ["PATH"], "HOME": "/", "DESTDIR": str(system), **env}
    done = subprocess.run([SCRIPTS / "install", *argv], check=False, env=base, text=True,
                          timeout=TIMEOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


@pytest.fixture(name="system")
def _system(tmp_path):
    """Returns a Debian that has all that an install needs."""
    for name in (*(f"usr/bin/{tool}" for tool in TOOLS), "usr/include/libelf.h",
                 "usr/include/openssl/ssl.h", f"lib/modules/{RELEASE}/modules.builtin",
                 f"lib/modules/{RELEASE}/build/.config", f"boot/initrd.img-{RELEASE}",
                 "usr/lib/rustlib/src/rust/library/core/lib.rs"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o755)
    (tmp_path / "etc").mkdir()
    (tmp_path / "var/lib/dpkg/info").mkdir(parents=True)
    (tmp_path / "etc/os-release").write_text("ID=debian\nVERSION_ID=13\n")
    return tmp_path


def files(system):
    """Returns every file below, by name."""
    return {str(path.relative_to(system)) for path in system.rglob("*") if path.is_file()}


def test_every_placed_file_is_removed(system):
    before = files(system)
    status, text = run(system, BOOT_PARAMETERS="yes")
    assert status == 0, text
    placed = files(system) - before
    assert {"etc/initramfs-tools/hooks/vtd", "etc/initramfs-tools/scripts/init-top/00_vtd",
            "etc/default/grub.d/vtd.cfg", "etc/modprobe.d/vtd.conf"} <= placed
    sources = {name.split("/", 3)[3] for name in placed if name.startswith("usr/src/vtd-")}
    assert {"dkms.conf", "Kbuild", "src/vtd_main.rs", "src/core/vtd_core.rs", "rust/kernel_ext.rs",
            "scripts/kdir", "scripts/prepare-kdir", "scripts/debian/dkms-build",
            "scripts/debian/dkms-installed"} <= sources
    assert not [name for name in sources if name.endswith((".o", ".ko", ".cmd", "_generated.rs"))]
    for line in ("dkms add", f"dkms install vtd/0.1.0 -k {RELEASE}", "update-grub"):
        assert f"not run, because DESTDIR is set: {line}" in text
    # The module that DKMS would have built.
    (system / "var/lib/dkms/vtd/0.1.0").mkdir(parents=True)
    status, text = run(system, "uninstall")
    assert status == 0, text
    assert files(system) == before
    for line in ("dkms remove vtd/0.1.0 --all", f"update-initramfs -u -k {RELEASE}", "update-grub"):
        assert line in text


def test_boot_parameters_are_shown_and_applied_only_on_request(system):
    status, text = run(system)
    assert status == 0, text
    assert "intel_iommu=off intremap=off" in text and "update-grub" not in text
    assert not (system / "etc/default/grub.d").exists()
    run(system, BOOT_PARAMETERS="yes")
    # test_deb.py has what GRUB makes of it.
    assert "\nVTD_BOOT_PARAMETERS=yes\n" in (system / "etc/default/grub.d/vtd.cfg").read_text()


def test_the_scripts_of_the_initramfs_come_before_udevs(system):
    run(system)
    scripts = system / "etc/initramfs-tools/scripts/init-top"
    for name in ("all_generic_ide", "keymap", "udev"):
        (scripts / name).touch()
    pairs = "".join(f"{path.name} {path.name}\n" for path in sorted(scripts.iterdir()))
    order = subprocess.run(["tsort"], input=pairs, check=True, text=True, capture_output=True,
                           timeout=TIMEOUT).stdout.split()
    assert order[0] == "00_vtd"
    for script in (scripts / "00_vtd", system / "etc/initramfs-tools/hooks/vtd"):
        done = subprocess.run([script, "prereqs"], check=True, text=True, capture_output=True,
                              timeout=TIMEOUT)
        assert done.stdout.strip() == ""


@pytest.mark.parametrize("spoil, sentence", [
    (lambda s: (s / "etc/os-release").write_text("ID=fedora\n"), "for Debian alone"),
    (lambda s: (s / "usr/bin/update-initramfs").unlink(), "apt-get install initramfs-tools"),
    (lambda s: (s / f"lib/modules/{RELEASE}").rename(s / "lib/modules/6.12.9+deb13-amd64"),
     "no kernel that vtd is for"),
    (lambda s: shutil.rmtree(s / f"lib/modules/{RELEASE}/build"), "without its headers"),
    (lambda s: (s / "usr/bin/dkms").unlink(), "lacks: apt-get install dkms"),
    (lambda s: (s / "var/lib/dpkg/info/vtd-dkms.list").touch(), "apt-get purge vtd-dkms"),
    (lambda s: (s / "usr/include/libelf.h").unlink(), "lacks: apt-get install libelf-dev"),
    (lambda s: shutil.rmtree(s / "usr/lib/rustlib"), "lacks: apt-get install rust-src"),
])
def test_an_unfit_system_is_refused_with_a_sentence_and_unchanged(system, spoil, sentence):
    spoil(system)
    before = files(system)
    status, text = run(system)
    assert status == 1
    assert sentence in text
    assert len(text.splitlines()) == 1, "more than one sentence"
    assert files(system) == before


@pytest.mark.parametrize("says, packages", [
    ("ID=ubuntu\nID_LIKE=debian\n", "linux-lib-rust-$(uname -r)"),
    ('ID="ubuntu"\n', "linux-lib-rust-$(uname -r)"),
    ("ID=linuxmint\nID_LIKE='ubuntu debian'\n", "the headers of your kernel"),
    ("ID=raspbian\nID_LIKE=debian\n", "the headers of your kernel"),
    ("ID=arch\n", "linux-headers, rust and rust-bindgen"),
    ("ID=fedora\n", "kernel-devel"),
    ('ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\n', "kernel-default-devel"),
    (None, "the headers of your kernel"),
])
def test_other_distributions_get_fitting_advice(system, says, packages):
    """Distributions like Debian lack its packages: none of them is named there."""
    release = system / "etc/os-release"
    release.unlink() if says is None else release.write_text(says)
    before = files(system)
    for argv in ((), ("install",)):
        status, text = run(system, *argv)
        assert (status, files(system)) == (1, before)
        assert "for Debian alone" in text and packages in text
        assert len(text.splitlines()) == 1 and "Documentation/other-distributions.rst" in text
        for word in ("trixie", "linux-image", "apt-get", "initramfs-tools"):
            assert word not in text


def test_a_system_may_say_what_it_is_in_the_other_place_or_not_at_all(system):
    (system / "etc/os-release").unlink()
    assert "this system does not say what it is" in run(system)[1]
    (system / "usr/lib").mkdir(exist_ok=True)
    (system / "usr/lib/os-release").write_text("ID=ubuntu\n")
    assert "this system calls itself ubuntu" in run(system)[1]
    (system / "usr/lib/os-release").write_text("ID=debian\nVERSION_ID=13\n")
    assert run(system)[0] == 0


def test_dracut_is_not_replaced(system):
    """The advice on Debian with dracut never removes dracut, whether it has a script of
    the name update-initramfs or not; with both, initramfs-tools is what makes the initramfs."""
    (system / "usr/bin/dracut").touch(mode=0o755)
    for there in (True, False):
        if not there:
            (system / "usr/bin/update-initramfs").unlink()
        before = files(system)
        status, text = run(system)
        assert (status, files(system)) == (1, before)
        assert "dracut makes the initramfs here" in text and "apt-get" not in text
        assert "the package vtd-dkms (make deb) serves both" in text
    for name in ("update-initramfs", "mkinitramfs"):
        (system / "usr/bin" / name).touch(mode=0o755)
    assert run(system)[0] == 0


@pytest.mark.parametrize("version, advice", [
    ("VERSION_ID=13\n", "apt-get install -t trixie-backports"),
    ('VERSION_ID="14"\n', "apt-get install linux-image-amd64"),
    ("", "apt-get install linux-image-amd64"),
    ("VERSION_ID=12\n", "Debian 12 does not"),
])
def test_where_a_newer_kernel_comes_from(system, version, advice):
    (system / "etc/os-release").write_text(f"ID=debian\n{version}")
    (system / f"lib/modules/{RELEASE}").rename(system / "lib/modules/6.12.9+deb13-amd64")
    status, text = run(system)
    assert status == 1 and advice in text


@pytest.mark.parametrize("wish, sentence", [
    ({"BOOT_PARAMETERS": "maybe"}, "neither yes nor no"),
    ({"KDIR": "/nowhere"}, "KDIR=/nowhere is no build folder"),
])
def test_a_setting_that_cannot_apply_is_refused_before_any_change(system, wish, sentence):
    before = files(system)
    status, text = run(system, **wish)
    assert (status, files(system)) == (1, before)
    assert sentence in text


def test_boot_parameters_need_grub(system):
    (system / "usr/bin/update-grub").unlink()
    status, text = run(system, BOOT_PARAMETERS="yes")
    assert status == 1 and "no update-grub here" in text
    assert not (system / "etc/initramfs-tools").exists()


def test_a_kernel_that_is_not_installed_needs_no_build_folder(system, tmp_path):
    kdir = tmp_path / "kdir/include/config"
    kdir.mkdir(parents=True)
    (kdir / "kernel.release").write_text("7.2.12+deb13-amd64\n")
    status, text = run(system, KDIR=str(tmp_path / "kdir"))
    assert status == 1 and f"installed are: {RELEASE}" in text


def test_a_failed_step_is_undone(system):
    (system / "etc/initramfs-tools").touch()    # in the way of the hook's folder
    before = files(system)
    status, text = run(system)
    assert status == 1 and "the steps done so far are undone" in text
    assert files(system) == before


def test_secure_boot_is_reported(system):
    variables = system / "sys/firmware/efi/efivars"
    variables.mkdir(parents=True)
    state = variables / "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    state.write_bytes(b"\x06\0\0\0\0")
    assert "mokutil" not in run(system)[1]
    state.write_bytes(b"\x06\0\0\0\1")
    assert "mokutil --import /var/lib/dkms/mok.pub" in run(system)[1]


def test_prepare_kdir_names_the_mismatch(tmp_path):
    def prepare():
        done = subprocess.run([SCRIPTS / "prepare-kdir", tmp_path / "source", tmp_path / "headers",
                               tmp_path / "kdir"], check=False, text=True, timeout=TIMEOUT,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    assert "holds no kernel source" in prepare()[1]
    (tmp_path / "source/rust").mkdir(parents=True)
    (tmp_path / "source/rust/Makefile").touch()
    (tmp_path / "source/Makefile").write_text("kernelversion:\n\t@echo 7.3.4\n")
    assert "holds no .config" in prepare()[1]
    headers = tmp_path / "headers"
    (headers / "include/config").mkdir(parents=True)
    (headers / "Module.symvers").touch()
    (headers / "include/config/kernel.release").write_text("7.3.41+deb13-amd64\n")
    (headers / ".config").write_text("# CONFIG_RUST is not set\n")
    assert "CONFIG_RUST is off" in prepare()[1]
    (headers / ".config").write_text('CONFIG_RUST=y\nCONFIG_CC_VERSION_TEXT="gcc-1 (Debian) 1"\n')
    assert "must be of the same version" in prepare()[1]
    (headers / "include/config/kernel.release").write_text("7.3.4+deb13-amd64\n")
    status, text = prepare()
    assert status == 1 and "there is no gcc-1 here" in text
    assert not (tmp_path / "kdir").exists()
