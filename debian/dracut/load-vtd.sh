#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Sourced by dracut, which shows a warning on the console.
modprobe -b -q vtd bound=2 || warn "vtd is not loaded; the kernel log says why"
