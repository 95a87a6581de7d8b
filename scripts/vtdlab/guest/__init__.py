# SPDX-License-Identifier: GPL-2.0
"""The machines: QEMU, devices, firmware tables, and what a guest says."""
