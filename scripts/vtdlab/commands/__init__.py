# SPDX-License-Identifier: GPL-2.0
"""The commands, one module for each."""
