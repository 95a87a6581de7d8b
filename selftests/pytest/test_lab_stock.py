# SPDX-License-Identifier: GPL-2.0
"""Stock kernels: which one is chosen, and which of its files a guest gets."""

import types

import pytest

from test_lab_build import Answers
from vtdlab.build import initramfs, stock
from vtdlab.cache import Cache
from vtdlab.errors import LabError

MADISON = " {0} | {1} | a trixie-backports/main amd64\n"


def uname(release, version):
    """Makes the machine report this kernel."""
    return lambda: types.SimpleNamespace(release=release, version=version)


DEBIANS = uname("7.2.12+deb13-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 7.2.12-1~bpo13+1 (2026-11-02)")


def names(*releases):
    """An archive with headers packages, each of the version in its release."""
    packages = {f"linux-headers-{release}": release.split("+")[0] + "-1" for release in releases}
    return {name: MADISON.format(name, version) for name, version in packages.items()}


@pytest.fixture(name="archive")
def _archive(tmp_path):
    return Answers(Cache(tmp_path), names(
        "7.3.4+deb13-amd64", "7.3.11+deb13-amd64", "7.3.12+deb13-cloud-amd64",
        "7.3.12+deb13-rt-amd64", "7.3.12+deb13-common", "7.2.12+deb13-amd64"))


def test_the_kernel_that_runs_here_is_taken_if_it_is_debians_and_fits():
    assert stock.installed(DEBIANS) == stock.Choice("7.2", "7.2.12-1~bpo13+1", "7.2.12+deb13-amd64")
    assert stock.installed(uname("7.3.4+deb13-cloud-amd64", "#1 SMP Debian 7.3.4-1")).series == "7.3"
    for release, version in (("6.12.9+deb13-amd64", "#1 SMP Debian 6.12.9-1"),
                             ("7.3.4", "#1 SMP PREEMPT Sat Nov 21"),
                             ("7.3.4+deb13-arm64", "#1 SMP Debian 7.3.4-1")):
        assert stock.installed(uname(release, version)) is None


def test_the_choice_is_the_requested_kernel_then_the_running_one_then_the_newest(archive):
    here = stock.installed(DEBIANS)
    assert stock.choose(archive, None, {}, lambda: here) == here
    assert stock.choose(archive, "7.3", {}, lambda: here).release == "7.3.11+deb13-amd64"
    assert stock.choose(archive, None, {"SERIES": "7.2"}, lambda: None).version == "7.2.12-1"
    assert stock.choose(archive, None, {}, lambda: None) == stock.Choice(
        "7.3", "7.3.11-1", "7.3.11+deb13-amd64")


def test_a_series_that_the_archive_lacks_is_a_sentence(tmp_path):
    empty = Answers(Cache(tmp_path), names("7.2.12+deb13-amd64"))
    with pytest.raises(LabError, match="no linux-headers-7.3"):
        stock.choose(empty, "7.3", {}, lambda: None)


def test_an_image_may_be_unsigned_and_must_be_there(tmp_path):
    folder = tmp_path / "packages/usr/lib/modules/7.3.4"
    folder.mkdir(parents=True)
    with pytest.raises(LabError, match="7.3.4/vmlinuz"):
        stock.image(tmp_path, "7.3.4")
    (folder / "vmlinuz.unsigned").touch()
    assert stock.image(tmp_path, "7.3.4").name == "vmlinuz.unsigned"
    (folder / "vmlinuz").touch()
    assert stock.image(tmp_path, "7.3.4").name == "vmlinuz"


DEP = """\
kernel/nvme.ko: kernel/nvme-core.ko kernel/auth.ko
kernel/nvme-core.ko: kernel/auth.ko
kernel/auth.ko:
kernel/e1000e.ko:
"""


def test_a_guest_gets_the_modules_that_are_wanted_and_all_they_need():
    assert initramfs.closure(DEP, ["nvme"]) == {
        "kernel/nvme.ko", "kernel/nvme-core.ko", "kernel/auth.ko"}
    assert initramfs.closure(DEP, ["nvme_core", "e1000e"]) == {
        "kernel/nvme-core.ko", "kernel/auth.ko", "kernel/e1000e.ko"}
    with pytest.raises(LabError, match="virtio_pci"):
        initramfs.closure(DEP, ["nvme", "virtio_pci"])


def test_a_kernel_without_a_needed_option_is_named(tmp_path):
    built = types.SimpleNamespace(kdir=tmp_path)
    (tmp_path / ".config").write_text("CONFIG_IOMMU_DEBUGFS=y\n# CONFIG_IOMMUFD is not set\n")
    said = stock.not_shown(built)
    assert "CONFIG_IOMMUFD" in said and "CONFIG_IOMMU_DEBUGFS" not in said
    (tmp_path / ".config").write_text("".join(f"{name}=y\n" for name in stock.MISSED))
    assert stock.not_shown(built) == ""
