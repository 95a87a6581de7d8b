# SPDX-License-Identifier: GPL-2.0
"""Measurements of both drivers."""
