#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# A disk changes between pass-through and a DMA domain ten times, while another disk works. Each time
# it reads back what it wrote. A unit that still had its old entry would refuse or misdirect its
# requests. Disks named in VTD_DISKS are overwritten.
#
# Boots: scalable
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"

ROUNDS=10
# shellcheck disable=SC2086 # disks are words
set -- ${VTD_DISKS:-}
[ $# -ge 2 ] || ktap_skip_all "VTD_DISKS names no two disks that may be overwritten"
changing=$1 working=$2

# raw_io BDF: writes the payload to a disk and reads it back, past the page cache.
raw_io() {
	disk=$(block_device "$1") || { echo "no disk appeared behind $1"; return 1; }
	dd if=/tmp/payload of="/dev/$disk" bs=64k oflag=direct 2> "/tmp/dd-$disk" &&
		dd if="/dev/$disk" bs=64k count=16 iflag=direct 2> "/tmp/dd-$disk" | cmp -s - /tmp/payload ||
		{ echo "$disk: $(cat "/tmp/dd-$disk"), or other bytes were read than written"; return 1; }
}

# becomes TYPE: the disk gets a default domain of this type, and works.
becomes() {
	unbind "$changing"
	set_type "$changing" "$1" && bind "$changing" "$driver" && raw_io "$changing" ||
		{ echo "round $round, $1"; return 1; }
}

changes() {
	for round in $(seq $ROUNDS); do
		becomes identity && becomes DMA || return 1
	done
}

# The other disk works until /tmp/enough is there.
works() {
	while [ ! -e /tmp/enough ]; do
		raw_io "$working" || return 1
		echo x >> /tmp/worked
	done
}

both() {
	rm -f /tmp/enough /tmp/worked
	works > /tmp/works 2>&1 &
	other=$!
	changes
	changed=$?
	touch /tmp/enough
	wait $other || { cat /tmp/works; return 1; }
	echo "the other disk was written $(wc -l < /tmp/worked) times"
	return $changed
}

ktap_start 4
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
log_start
dd if=/dev/urandom of=/tmp/payload bs=64k count=16 2> /dev/null
driver=$(basename "$(readlink "$PCI/$changing/driver")")
ktap_check "the disk works in its DMA domain" raw_io "$changing"
ktap_check "$ROUNDS times to pass-through and back, while another disk works" both
ktap_check "no request was refused" eval '! log_has "fault: " > /dev/null'
ktap_check "no kernel warning" log_is_clean
ktap_end
