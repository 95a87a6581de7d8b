# SPDX-License-Identifier: GPL-2.0
"""What a run leaves behind: the log, QEMU's trace, the dump; and what they mean."""
