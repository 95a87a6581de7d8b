# SPDX-License-Identifier: GPL-2.0
"""A guest that hangs (vtdlab/guest/qemu.py), with a real QEMU whose processors never start."""

import socket
from pathlib import Path

import pytest

from vtdlab.guest import qemu

PATIENCE = 1
TIMEOUT = 3


@pytest.fixture(name="boot")
def fixture_boot(tmp_path, monkeypatch):
    """Boots such a guest; `says` is sent over its channel in each boot."""
    arguments = qemu.arguments

    def boot(says):
        def halted(machine, out, sockets):
            if says:
                with socket.socket(socket.AF_UNIX) as channel:
                    channel.connect(f"{sockets}/channel")
                    channel.sendall(says)
            argv = arguments(machine, out, sockets)
            return [*argv[:argv.index("-kernel")], "-S"]

        monkeypatch.setattr(qemu, "arguments", halted)
        kernel = Path(__file__)     # which no processor comes to
        machine = qemu.Machine(kernel, kernel, [], [], memory="64M", patience=PATIENCE)
        return qemu.boot(machine, tmp_path, TIMEOUT)

    return boot


def test_a_silent_guest_is_booted_once_more(boot, tmp_path):
    outcome = boot(b"")
    assert outcome.ending == "timeout"
    assert outcome.console.exists() and (tmp_path / "silent-console.log").exists()


def test_a_guest_with_output_is_not_booted_again(boot, tmp_path):
    outcome = boot(b"hello job=tests\n")
    assert outcome.ending == "timeout"
    assert not (tmp_path / "silent-console.log").exists()
