# SPDX-License-Identifier: GPL-2.0
"""A QEMU that selftests/qemu does not fit is refused in a sentence; its guests could not run."""

import re
import subprocess

import pytest

import qtest
from qtest import IOVA
from qtest_requester import (EVERYTHING, SOURCE, TRANSLATE, Requester, ScalableUnit, device_tlb,
                             machine, page_response)
from vtdlab.build import preload
from vtdlab.errors import LabError
from vtdlab.guest import qemu

FURTHER = "vtd-unit,scope=05.0,base=0xfed91000"

# A wrong belief about QEMU: the file, what it says, what it says wrongly, and the sentence.
LIES = {
    "function": ("type.c", "{ #name,", '{ #name "_of_old",',
                 "the executable does not export the function register_module_init_of_old"),
    "time": ("type.c", "#define INIT_AFTER_TYPES 0", "#define INIT_AFTER_TYPES 3",
             "QEMU has no class intel-iommu yet when it runs this object"),
    "record": ("unit.c", '"intel-iommu", "x86-iommu"', '"intel-iommu", "sys-bus-device"',
               "QEMU has no record of a type intel-iommu with the parent sys-bus-device"),
    "record-length": ("type.c", "SEARCHED = 13, COPIED = 16", "SEARCHED = 39, COPIED = 40",
                      "QEMU's record of the type intel-iommu has more than one function"),
    "realize": ("unit.c", 'object_class_by_name("amd-iommu")', 'object_class_by_name("edu")',
                "the class intel-iommu has no function like realize"),
    "region": ("registers.c", 'device, "intel_iommu[0]")', 'device, "registers[0]")',
               "a unit has no region of registers with the name intel_iommu[0]"),
    "read": ("registers.c", "{ READ, WRITE }", "{ WRITE, READ }",
             "the function found as a register's read is another one"),
    "write": ("registers.c", "{ READ, WRITE }", "{ READ, WRITE = 3 }",
              "the region of a unit's registers has no table of functions"),
    "access": ("registers.c", "CAP, &low, 2, 0", "CAP, &low, 1, 0",
               "the function found as a register's read is another one"),
    "bus": ("scope.c", '"the bus pcie.0") - 1', '"the bus pcie.0") - 2',
            "the bus pcie.0 has no table of functions before its unit"),
    "machine": ("unit.c", "	*machine_unit = first->device;\n", "",
                "the machine's unit is no longer the first one"),
    "changes": ("unit.c", "machine[i] < PAGE", "machine[i] < 1",
                "a unit changes 2 words of the machine, not one"),
    "translate": ("masks.c", "if (is_code(own[first]) && !parent[first])",
                  "if (is_code(own[first]) && !parent[first] && first > words_of(region) + 1)",
                  "translate is not the first function of the regions that a unit translates"),
}


# The same, of the requester
REQUESTER_LIES = {
    "model": ("requester.c", 'MODEL "ufs"', 'MODEL "edu"',
              "QEMU's record of the type edu has more than one function"),
    "express": ("requester.c", 'MODEL "ufs"', 'MODEL "mch"',
                "a copy of QEMU's record of the type mch makes no device on PCI Express"),
    "realize": ("requester.c", 'PAIR("edu", "mch")', 'PAIR("edu", "ufs")',
                "the class of a PCI device has more than one function like realize"),
    "exit": ("requester.c", 'PAIR("edu", "ufs"), PAIR("iommu-testdev", "mch")',
             'PAIR("mch", "ICH9-LPC"), PAIR("edu", "ufs")',
             "the class of a PCI device has more than one function like exit"),
    "write-config": ("requester.c", 'PAIR("mch", "ICH9-LPC")', 'PAIR("edu", "ufs")',
                     "the class of a PCI device has no function like write_config"),
    "no-write": ("requester.c", "	qemu.pci_host_config_write_common", "	if (0) "
                 "qemu.pci_host_config_write_common",
                 "the function found as a PCI device's write_config is another one"),
    "space": ("pci.c", "device, i * 4, 4))", "device, i * 4 + 4, 4))",
              "a PCI device has no configuration space"),
    "attributes": ("request.c", "1ull << i) == others", "1ull << i) != others",
                   "more than one bit makes a request a translated one"),
    "structure": ("request.c", "(size_t)(space - structure) >=", "(size_t)(space - structure) <",
                  "the address space of a device is not in its unit's structure for it"),
}
# The same, of what is noticed only when it is used
LATE_LIES = {
    "invalidation": ("listener.c", "range = { entry[4] >> 32, entry[1],",
                     "range = { entry[4] >> 32, entry[0],",
                     "what the unit says of an invalidation has other words than the known ones"),
    "response": ("listener.c", "if (response[0] > 15)", "if (response[1] > 15)",
                 "what the unit says of a page response has other words than the known ones"),
    "translation": ("request.c", "got.mask = entry[3];", "got.mask = entry[1];",
                    "what the unit says of a translation has other words than the known ones"),
}


@pytest.fixture(name="compiled", scope="session")
def object_files(tmp_path_factory):
    """Returns the object file of each source file, not optimized."""
    folder = tmp_path_factory.mktemp("compiled")
    return {path.name: compiled_file(path, folder / f"{path.stem}.o")
            for path in preload.sources() if path.suffix == ".c"}


def compiled_file(path, target):
    flags = [word for word in preload.COMPILE if word not in ("-shared", "-O2")]
    subprocess.run([*flags, "-O0", f"-I{preload.sources()[0].parent}", "-c", "-o", str(target),
                    str(path)], check=True, timeout=qtest.TIMEOUT)
    return target


def lied_to(folder, compiled, lie):
    """Returns an object that is changed to believe something wrong."""
    file, true, wrong, _ = lie
    path = next(path for path in preload.sources() if path.name == file)
    text = path.read_text(encoding="utf-8")
    assert text.count(true) == 1, f"{file} does not have {true!r} once"
    (folder / file).write_text(text.replace(true, wrong), encoding="utf-8")
    files = {**compiled, file: compiled_file(folder / file, folder / "lied.o")}
    built = folder / "lied.so"
    subprocess.run(["gcc", "-shared", "-o", str(built), *map(str, files.values())], check=True,
                   timeout=qtest.TIMEOUT)
    return built


@pytest.mark.parametrize("name", LIES)
def test_a_qemu_that_does_not_fit_is_refused_in_a_sentence(tmp_path, compiled, name):
    built = lied_to(tmp_path, compiled, LIES[name])
    status, said = qtest.ended(built, "intel-iommu", FURTHER)
    assert (status, said.splitlines()[-1]) == (preload.UNFIT, f"vtd-unit: {LIES[name][-1]}")


@pytest.mark.parametrize("name", REQUESTER_LIES)
def test_a_qemu_that_does_not_fit_the_requester_is_refused(tmp_path, compiled, name):
    built = lied_to(tmp_path, compiled, REQUESTER_LIES[name])
    sentence = f"vtd-unit: {REQUESTER_LIES[name][-1]}"
    status, said = qtest.ended(built, f"intel-iommu,{EVERYTHING}", "vtd-requester")
    assert (status, said.splitlines()[-1]) == (preload.UNFIT, sentence)


@pytest.mark.parametrize("name", LATE_LIES)
def test_what_the_unit_sends_is_checked_whenever_it_comes(tmp_path, compiled, name):
    with machine(lied_to(tmp_path, compiled, LATE_LIES[name]), EVERYTHING) as started:
        requester = Requester(started)
        unit = ScalableUnit(started, first_stage=True)
        unit.start_scalable(SOURCE, (0, 5))
        with pytest.raises(AssertionError, match=LATE_LIES[name][-1]):
            requester.run(TRANSLATE, pasid=5)
            unit.submit(device_tlb(SOURCE, 5, IOVA), page_response(SOURCE, 5, 20))
        assert started.child.wait(qtest.TIMEOUT) == preload.UNFIT


def test_a_guest_on_a_qemu_that_does_not_fit_could_not_run(tmp_path, monkeypatch, compiled):
    """A guest with a further unit has the object loaded; that it does not fit is reported as such,
    and not as a result."""
    kernel = tmp_path / "kernel"
    kernel.touch()
    lied = lied_to(tmp_path, compiled, LIES["record"])
    monkeypatch.setattr(preload, "get", lambda: lied)
    guest = qemu.Machine(kernel, kernel, [], ["-device", FURTHER])
    with pytest.raises(LabError, match="could not run(?s:.*)" + LIES["record"][-1]):
        qemu.boot(guest, tmp_path / "out", qtest.TIMEOUT)


def test_a_guest_whose_qemu_stops_to_fit_could_not_run_either(tmp_path, monkeypatch):
    """Some of what the object relies on shows only when it is used. Here it ends a QEMU that has
    started and does nothing."""
    source = tmp_path / "late.c"
    source.write_text("""
        #include <pthread.h>
        #include <stdio.h>
        #include <unistd.h>
        static void *end(void *data)
        {
            sleep(1);
            fprintf(stderr, "vtd-unit: it no longer fits\\n");
            _exit(77);
        }
        __attribute__((constructor)) static void enter(void)
        {
            static pthread_t thread;
            pthread_create(&thread, NULL, end, NULL);
        }
        """)
    late = preload.build([source], tmp_path / "late.so")
    monkeypatch.setattr(preload, "get", lambda: late)
    monkeypatch.setattr(preload, "DEVICE", "edu")
    guest = qemu.Machine(source, source, [], ["-device", "edu"], loader=lambda *_: ["-S"])
    with pytest.raises(LabError, match="could not run(?s:.*)it no longer fits"):
        qemu.boot(guest, tmp_path / "out", qtest.TIMEOUT)


@pytest.mark.parametrize("iommu, devices, needed", [
    ("", [], False), ("caching-mode=on", ["edu,queue=3"], False), ("", [FURTHER], True),
    ("", ["vtd-requester"], True), ("snoop-control=on,queue-delay=5", [], True)])
def test_the_object_is_loaded_if_something_of_it_is_used(monkeypatch, tmp_path, iommu, devices,
                                                         needed):
    monkeypatch.setattr(preload, "get", lambda: "object.so")
    words = [word for device in devices for word in ("-device", device)]
    argv = qemu.arguments(qemu.Machine(tmp_path, tmp_path, [], words, iommu), tmp_path, tmp_path)
    assert ("LD_PRELOAD=object.so" in argv) == needed


def test_the_laboratory_knows_the_properties():
    added = [name for path in preload.sources() if path.name in ("registers.c", "queue.c")
             for name in re.findall(r'add_property\(class, "([^"]+)"', path.read_text())]
    assert sorted(added) == sorted(preload.PROPERTIES)


def test_the_object_exports_nothing(built):
    """One of its names could replace a function of QEMU or of a library."""
    names = subprocess.run(["nm", "-D", "--defined-only", str(built)], check=True,
                           capture_output=True, text=True, timeout=qtest.TIMEOUT)
    assert not names.stdout


def test_the_exit_status_is_the_one_that_the_laboratory_knows():
    header = next(path for path in preload.sources() if path.name == "layout.h")
    assert f"#define EXIT_UNFIT {preload.UNFIT}\n" in header.read_text(encoding="utf-8")
