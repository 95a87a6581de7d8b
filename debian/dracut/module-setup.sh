#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# dracut: puts vtd into the initramfs of each kernel that it is built for, and loads it there before
# udev loads the devices' drivers. What load-vtd.sh does is what initramfs-tools' 00_vtd does.

check() {
	modinfo -k "${kernel:?}" vtd >/dev/null 2>&1
}

depends() {
	return 0
}

installkernel() {
	instmods vtd
}

install() {
	inst_hook pre-udev 00 "${moddir:?}/load-vtd.sh"
}
