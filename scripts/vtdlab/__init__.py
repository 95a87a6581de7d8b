# SPDX-License-Identifier: GPL-2.0
"""The laboratory of vtd: test kernels, the module, and the machines that run them.

Everything here runs inside the build root (see scripts/enter); the module can be
built against one's own kernel without it.
"""
