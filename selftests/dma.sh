#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Devices do their ordinary work through DMA domains, and read back what they wrote. Disks named
# in VTD_DISKS are overwritten.
#
# Boots: ordinary*, three-levels, without-queue, caching-mode, races, scalable, scalable-caching, first-stage
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"

disks=${VTD_DISKS:-}
nic=${VTD_NIC:-}

# work LABEL COMMAND: runs one device's work between two marks for the host.
work() {
	label=$1
	shift
	mark "dma $label begin"
	ktap_check "$label" "$@"
	mark "dma $label end"
}

# several processes at the same time, each with its own files
parallel_io() {
	disk=$(block_device "$1") || return 1
	mount -t ext4 "/dev/$disk" /mnt/io || return 1
	for job in 1 2 3 4; do
		(
			for round in 1 2 3; do
				head -c 3000001 /tmp/payload > "/mnt/io/job$job-$round" || exit 1
				sync -d "/mnt/io/job$job-$round"
			done
		) &
	done
	wait
	unmount_and_drop "$disk" || return 1
	before=$(given_by "$disk")
	mount -t ext4 "/dev/$disk" /mnt/io || return 1
	expected=$(head -c 3000001 /tmp/payload | sha256sum)
	bad=0
	for file in /mnt/io/job*; do
		[ "$(sha256sum < "$file")" = "$expected" ] || { echo "$file is damaged"; bad=1; }
	done
	moved=$(($(given_by "$disk") - before))
	[ $moved -ge "$(cat /mnt/io/job* | wc -c)" ] || { echo "only $moved bytes came from $disk; the rest was cached"; bad=1; }
	rm -f /mnt/io/job*
	umount /mnt/io
	return $bad
}

[ -n "$disks" ] || ktap_skip_all "VTD_DISKS names no disk that may be overwritten"
# shellcheck disable=SC2086
set -- $disks
ktap_start $(($# * 2 + 2))
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
log_start
payload $((24 << 20))
for bdf in $disks; do
	work "$bdf: filesystem, write, read back" disk_io "$bdf"
	work "$bdf: four concurrent writers" parallel_io "$bdf"
done
if [ -n "$nic" ]; then
	work "$nic: a file over TCP, both ways" net_io "$nic" $((4 << 20))
else
	ktap_skip "a file over TCP" "VTD_NIC names no device"
fi
no_faults() {
	! log_since | grep 'vtd: .*fault:'
}
ktap_check "no fault and no kernel warning" eval 'no_faults && log_is_clean'
ktap_end
