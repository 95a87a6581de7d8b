# SPDX-License-Identifier: GPL-2.0
"""What is built: kernels, modules, programs, a guest's root."""
