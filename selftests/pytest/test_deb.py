# SPDX-License-Identifier: GPL-2.0
"""The Debian packages: one version everywhere, and the files that they place. `make debian-check`
installs them."""

import hashlib
import io
import os
import re
import subprocess
import time
import tomllib

import pytest

from vtdlab import report
from vtdlab.build import deb
from vtdlab.cache import checkout
from vtdlab.checks import lint
from vtdlab.commands import debian_check
from vtdlab.guest import qemu, secureboot

TOP = checkout()
DKMS_CONF = (TOP / "debian/vtd-dkms.dkms").read_text(encoding="utf-8")
CONTROL = (TOP / "debian/control").read_text(encoding="utf-8")
TIMEOUT = 60
# In addition to the sources.
PLACED = {
    "etc/default/grub.d/vtd.cfg", "usr/lib/modprobe.d/vtd-dkms.conf",
    "usr/share/initramfs-tools/hooks/vtd", "usr/share/initramfs-tools/scripts/init-top/00_vtd",
    "usr/lib/dracut/modules.d/05vtd/module-setup.sh", "usr/lib/dracut/modules.d/05vtd/load-vtd.sh",
    *(f"usr/share/doc/vtd-dkms/{name}" for name in (
        "README.Debian", "changelog.gz", "copyright", "CHANGELOG.md")),
}


def package(name):
    """Returns the fields of a package in debian/control."""
    text = next(part for part in CONTROL.split("\n\n") if part.startswith(f"Package: {name}\n"))
    return dict(re.findall(r"^(\S+): ((?:.*\n(?: .*\n)*))", text + "\n", re.M))


@pytest.fixture(scope="module", name="built")
def _built(tmp_path_factory):
    """Returns vtd-dkms, unpacked with its control files in DEBIAN/, and its checksum."""
    out = tmp_path_factory.mktemp("deb")
    path, = deb.build(out, "all")
    subprocess.run(["dpkg-deb", "-R", path, out / "tree"], check=True, timeout=TIMEOUT)
    return out / "tree", hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_file_has_the_same_version():
    versions = {name: tomllib.loads((TOP / name).read_text(encoding="utf-8"))["package"]["version"]
                for name in ("Cargo.toml", "tools/vtd/Cargo.toml")}
    versions["debian/changelog"] = deb.version()
    versions["CHANGELOG.md"] = re.search(r"^## (\S+)", (TOP / "CHANGELOG.md").read_text(), re.M)[1]
    assert len(set(versions.values())) == 1, versions


def test_dkms_leaves_out_the_kernels_that_kdir_refuses():
    kdir = (TOP / "scripts/kdir").read_text(encoding="utf-8")
    needed = {"RUST", *re.search(r"^for name in (.*); do$", kdir, re.M)[1].split()}
    assert 'option RUST)" = y' in kdir and len(needed) == 5
    stated = re.search(r'^BUILD_EXCLUSIVE_CONFIG="(.*)"$', DKMS_CONF, re.M)[1].split()
    assert sorted(stated) == sorted(f"CONFIG_{name}" for name in needed)
    tried = (TOP / "scripts/debian/try-packages").read_text(encoding="utf-8")
    assert set(re.search(r"for option in (.*); do", tried)[1].split()) == needed
    pattern = re.compile(re.search(r'^BUILD_EXCLUSIVE_KERNEL="(.*)"$', DKMS_CONF, re.M)[1])
    for release, fits in (("7.2.0-1-amd64", True), ("7.10.3-cloud-amd64", True), ("8.0.1", True),
                          ("10.1.0", True), ("7.1.13-amd64", False), ("6.12.9", False)):
        assert bool(pattern.match(release)) == fits, release


def test_the_package_depends_on_what_make_install_asks_for():
    install = (TOP / "scripts/install").read_text(encoding="utf-8")
    asked = set(re.findall(r"[\w-]+:([\w-]+)", re.search(r"for pair in (.*?); do", install, re.S)[1]))
    asked |= set(re.findall(r"missing\+=\(([\w-]+)\)", install))
    # DKMS comes by dh_dkms, this compiler with the kernel's headers.
    asked -= {"dkms", "gcc-14"}
    assert len(asked) > 9
    depends = set(re.findall(r"[\w-]+", package("vtd-dkms")["Depends"]))
    assert asked <= depends, asked - depends


def test_the_files_of_the_package_are_the_sources_and_those_of_the_list(built):
    tree, _ = built
    sources = f"usr/src/vtd-{deb.version()}/"
    files = {str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir()}
    files = {name for name in files if not name.startswith("DEBIAN/")}
    tracked = {str(path.relative_to(TOP)) for path in lint.tracked("Kbuild", "rust", "src")}
    expected = {name for name in tracked if not name.startswith("src/core/tests/")
                and not any(part.startswith(".") for part in name.split("/"))}
    expected |= {"dkms.conf", "scripts/kdir", "scripts/prepare-kdir", "scripts/debian/dkms-build",
                 "scripts/debian/dkms-installed"}
    assert files == PLACED | {sources + name for name in expected}
    conf = (tree / sources / "dkms.conf").read_text(encoding="utf-8")
    assert f'PACKAGE_VERSION="{deb.version()}"' in conf and "#MODULE" not in conf
    for script in re.findall(r'="(scripts/\S+) ', conf):
        assert os.access(tree / sources / script, os.X_OK), script
    assert (tree / "DEBIAN/conffiles").read_text().split() == ["/etc/default/grub.d/vtd.cfg"]


def test_make_install_places_the_same_files_under_the_names_of_the_administrator(built, tmp_path):
    tree, _ = built
    for target, name in (("hooks/vtd", "initramfs-hook"), ("scripts/init-top/00_vtd", "initramfs-script")):
        path = tree / "usr/share/initramfs-tools" / target
        assert path.read_bytes() == (TOP / "debian" / name).read_bytes()
        assert os.access(path, os.X_OK) and f"debian/{name}" in (TOP / "scripts/install").read_text()
    subprocess.run([TOP / "scripts/debian/place-sources", tmp_path], check=True, timeout=TIMEOUT)
    sources = tree / f"usr/src/vtd-{deb.version()}"
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} | {"dkms.conf"} == {
        str(path.relative_to(sources)) for path in sources.rglob("*")}


def test_the_same_files_give_the_same_package(built, tmp_path):
    time.sleep(1.1)     # so that times in the package would differ
    mask = os.umask(0o077)
    try:
        path, = deb.build(tmp_path / "again", "all")
    finally:
        os.umask(mask)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == built[1]


def test_the_package_is_refused_next_to_make_install(built, tmp_path):
    preinst = (built[0] / "DEBIAN/preinst").read_text(encoding="utf-8")
    script = tmp_path / "preinst"
    script.write_text(preinst.replace("/etc/", f"{tmp_path}/etc/"))

    def run():
        return subprocess.run(["sh", script, "install"], check=False, capture_output=True, text=True,
                              timeout=TIMEOUT)

    assert run().returncode == 0
    (tmp_path / "etc/initramfs-tools/hooks").mkdir(parents=True)
    (tmp_path / "etc/initramfs-tools/hooks/vtd").touch()
    assert run().returncode == 1 and "run make uninstall" in run().stderr


@pytest.mark.parametrize("wish, driver, words", [
    ("yes", True, "quiet intel_iommu=off intremap=off\n"), ("no", True, "quiet\n"),
    ("yes", False, "quiet\n")])
def test_grub_passes_the_parameters_on_only_on_request_and_only_with_the_driver(tmp_path, wish, driver,
                                                                               words):
    """grub-mkconfig runs with set -e, so that the file may not end with a false condition."""
    text = (TOP / "debian/grub.cfg").read_text(encoding="utf-8")
    assert text.count("VTD_BOOT_PARAMETERS=no\n") == 1
    text = text.replace("VTD_BOOT_PARAMETERS=no", f"VTD_BOOT_PARAMETERS={wish}")
    (tmp_path / "vtd.cfg").write_text(text.replace("/usr/src", f"{tmp_path}/src"))
    (tmp_path / "src" / ("vtd-0.1.0" if driver else "other")).mkdir(parents=True)
    done = subprocess.run(["sh", "-ec", 'GRUB_CMDLINE_LINUX=quiet; . "$1"; echo "$GRUB_CMDLINE_LINUX"',
                           "sh", tmp_path / "vtd.cfg"], check=True, capture_output=True, text=True,
                          timeout=TIMEOUT)
    assert (done.stdout, done.stderr) == (words, "")


def test_headers_with_rust_metadata_need_no_source(tmp_path):
    """As on Ubuntu and Arch: the module is built against them, and nothing is prepared."""
    headers, sources = tmp_path / "headers", tmp_path / "vtd"
    for folder in (headers / "rust", headers / "include/config", sources / "scripts", tmp_path / "bin"):
        folder.mkdir(parents=True)
    (headers / "rust/libkernel.rmeta").touch()
    (headers / "include/config/kernel.release").write_text("7.3.4-arch1-1\n")
    for path, says in ((sources / "scripts/kdir", "CC=gcc"), (tmp_path / "bin/make", 'make "$@"')):
        path.write_text(f"#!/bin/sh\necho {says}\n")
        path.chmod(0o755)

    def build():
        return subprocess.run([TOP / "scripts/debian/dkms-build", "7.3.4-arch1-1", headers], check=False,
                              cwd=sources, capture_output=True, text=True, timeout=TIMEOUT,
                              env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})

    assert build().stdout.startswith(f"make -C {headers} M={sources} CC=gcc -j")
    (headers / "rust/libkernel.rmeta").unlink()
    assert build().returncode == 1 and "linux-headers-7.3.4-arch1-1 is not installed" in build().stderr


@pytest.mark.parametrize("spoiled, with_what, failed", [
    (None, "", 0), ("update", "Building module(s)... done.\n", 1),
    ("install", "Building module(s).....(bad exit status: 2)\n", 1), ("install.status", "100", 1),
    ("status", "vtd/0.1.0, 7.3.4-amd64, x86_64: installed\n", 1), ("unfit", "", 1)])
def test_the_judge_of_the_installation_counts_builds(tmp_path, spoiled, with_what, failed):
    """A second build at an update, none at the installation, and a kernel without vtd are found."""
    first, second = "7.3.4-amd64", "7.3.4-cloud-amd64"
    built = "Building module(s)........ done.\n"
    status = "".join(f"vtd/0.1.0, {release}, x86_64: installed\n" for release in (first, second))
    logs = {"install": built, "fresh": status, "update": built, "status": status,
            "unfit": "This indicates that it should not be built.\n"}
    logs |= {f"{name}.status": "0\n" for name in logs}
    if spoiled:
        logs[spoiled] = logs[spoiled] + with_what if spoiled == "update" else with_what
    folder = tmp_path / "guest/packages"
    folder.mkdir(parents=True)
    for name, text in logs.items():
        (folder / name).write_text(text)
    judged = report.Report(stream=io.StringIO())
    debian_check.dkms(judged, tmp_path, (first, second))
    assert (judged.passed, judged.failed) == (6 - failed, failed)


def test_a_machine_with_secure_boot_boots_only_what_is_signed(tmp_path, monkeypatch):
    """The firmware starts the programs of the partition: QEMU passes it no kernel by itself. The key
    is in the firmware's variables only if it is wished."""
    for name in ("kernel", "initramfs", "program"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(secureboot, "program", lambda package, name: tmp_path / "program")
    subprocess.run(["openssl", "req", "-new", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=key",
                    "-keyout", tmp_path / "key", "-outform", "DER", "-out", tmp_path / "mok.pub"],
                   check=True, capture_output=True, timeout=TIMEOUT)
    for known in (True, False):
        folder = tmp_path / str(known)
        folder.mkdir()
        machine = qemu.Machine(tmp_path / "kernel", tmp_path / "initramfs", ["root=LABEL=vtd"], [],
                               loader=secureboot.loader(folder, tmp_path / "mok.pub" if known else None))
        argv = qemu.arguments(machine, folder, folder)
        assert not {"-kernel", "-initrd", "-append"} & set(argv)
        text = (folder / "esp/EFI/debian/grub.cfg").read_text(encoding="ascii")
        assert re.fullmatch(r"linux /vmlinuz console=ttyS0 .*root=LABEL=vtd\ninitrd /initrd.img\nboot\n", text)
        said = subprocess.run(["virt-fw-vars", "--input", folder / "variables.fd", "--print"], check=True,
                              capture_output=True, text=True, timeout=TIMEOUT).stdout
        assert re.search(r"SecureBootEnable\s*: bool: ON", said)
        assert ("MokList" in said) == known
        assert ((tmp_path / "mok.pub").read_bytes() in (folder / "variables.fd").read_bytes()) == known
