# SPDX-License-Identifier: GPL-2.0
#
# What both boots of the Debian guest share.
# shellcheck shell=dash
. /selftests/lib/ktap.sh
PCI=/sys/bus/pci/devices
KEPT=/var/tmp/payload

# root_device: prints the PCI function below the disk that / is on.
root_device() {
	path=$(readlink -f "/sys/dev/block/$(mountpoint -d /)")
	echo "$path" | grep -o '[0-9a-f]\{4\}:[0-9a-f]\{2\}:[0-9a-f]\{2\}\.[0-7]' | tail -n 1
}

# reads_back FILE: the file, read from the disk, has the checksum in FILE.sha256.
reads_back() {
	sync
	echo 3 > /proc/sys/vm/drop_caches
	disk=$(basename "$(readlink -f "/sys/dev/block/$(mountpoint -d /)")")
	before=$(awk '{ print $3 }' "/sys/class/block/$disk/stat")
	sha256sum -c "$1.sha256" || return 1
	moved=$((($(awk '{ print $3 }' "/sys/class/block/$disk/stat") - before) * 512))
	[ "$moved" -ge "$(stat -c %s "$1")" ] ||
		{ echo "only $moved bytes came from $disk; the rest was cached"; return 1; }
}

dmesg_is_clean() {
	! dmesg | grep -E 'WARNING:|BUG:|Oops|Call Trace:|panicked at'
}
