# SPDX-License-Identifier: GPL-2.0
"""A log line about a device has the device in its record, where journalctl looks for it."""

import re
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]

CALL = re.compile(r"\blog_(?P<dev>dev_)?(?:emerg|err|warn|notice|info)!\(")
# How a message names a device of which there is more than a name, which may outlive it.
DEVICE = re.compile(r"\{info\}|\{claimed\}|\{sibling\}|as_device\(\)|&\*data\b|\{self\} cannot be attached")


def without_record(text):
    """Yields the line and the text of each message that names a device, and is not about one."""
    for call in CALL.finditer(text):
        depth, end = 1, call.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        message = text[call.end():end - 1]
        if not call["dev"] and DEVICE.search(message):
            yield text.count("\n", 0, call.start()) + 1, message


def test_a_line_about_a_device_has_it_in_its_record():
    wrong = [f"{path.relative_to(TOP)}:{line}: {' '.join(message.split())}"
             for path in sorted((TOP / "src").rglob("*.rs"))
             for line, message in without_record(path.read_text(encoding="utf-8"))]
    assert not wrong, "\n" + "\n".join(wrong)


def test_lines_without_a_record_are_found():
    text = 'log_dev_err!(device, "{info} a");\nlog_err!("b");\nlog_warn!(\n    "{} (c)",\n    it.as_device()\n);'
    assert [line for line, _ in without_record(text)] == [3]
