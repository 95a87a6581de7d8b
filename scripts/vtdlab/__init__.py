# SPDX-License-Identifier: GPL-2.0
"""The laboratory of vtd: test kernels, the module, and the machines they run on.

Everything here runs inside the build root (see scripts/enter); nothing of it
is needed to build the module against one's own kernel.
"""
