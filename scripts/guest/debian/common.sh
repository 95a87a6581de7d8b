# SPDX-License-Identifier: GPL-2.0
#
# What the boots of the Debian guest share.
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

line_of() {
	dmesg | grep -n -m 1 -E "$1" | cut -d: -f1
}

loaded_first() {
	ours=$(line_of 'vtd: dmar[0-9]+: translation is on') theirs=$(line_of 'nvme nvme[0-9]+: ')
	[ -n "$ours" ] && [ -n "$theirs" ] && [ "$ours" -lt "$theirs" ] ||
		{ echo "vtd's line is ${ours:-none}, nvme's ${theirs:-none}"; dmesg | grep -i vtd; return 1; }
}

in_dma_domain() {
	type=$(cat "$PCI/$1/iommu_group/type")
	echo "$1 is in a group of type $type"
	[ "$type" = DMA ] && grep -q "^$1 " /sys/kernel/vtd/users
}

other_disk() {
	for disk in /sys/block/vd*; do
		[ -e "$disk" ] || continue
		bdf=$(readlink -f "$disk" | grep -o '[0-9a-f]\{4\}:[0-9a-f:]*\.[0-7]' | tail -n 1)
		in_dma_domain "$bdf" || return 1
		head -c 8388608 /dev/urandom > /tmp/other
		dd if=/tmp/other of="/dev/${disk##*/}" bs=1M oflag=direct conv=fsync || return 1
		dd if="/dev/${disk##*/}" bs=1M count=8 iflag=direct | cmp - /tmp/other
		return
	done
	echo "there is no virtio disk"
	return 1
}

works() {
	head -c 33554432 /dev/urandom > $KEPT
	sha256sum $KEPT > $KEPT.sha256
	reads_back $KEPT
}

no_fault() {
	sum=$(sed -n 's/^faults: *//p' /sys/kernel/debug/vtd/dmar*/statistics)
	[ "$sum" = 0 ] || { echo "the driver counted faults: ${sum:-nothing}"; return 1; }
}

# nothing_left [IGNORED]: every file of before the install is there and no other, except this test's
# results, and names that match IGNORED and are not vtd's.
nothing_left() {
	(cd / && find . -xdev -path './var/lib/dkms/mok.*' -prune -o -path ./var/log -prune -o \
		-path ./usr/local/src/vtd -prune -o -path ./guest -prune -o -path ./selftests -prune -o \
		-path ./var/tmp -prune -o -print | LC_ALL=C sort) > /tmp/files-after
	grep -v -e '^./guest' -e '^./selftests' -e '^./var/tmp/' -e '^./dev/' -e '^./proc/' \
		-e '^./sys/' -e '^./run/' -e '^./tmp/' -e '^./lost+found' /guest/files-before > /tmp/files-before
	grep -v -e '^./lost+found' /tmp/files-after | LC_ALL=C comm -13 /tmp/files-before - > /tmp/more
	LC_ALL=C comm -23 /tmp/files-before /tmp/files-after | grep -v -e '^./var/tmp' > /tmp/fewer
	ignored=${1:-^$}
	cat /tmp/more /tmp/fewer | awk -v ignored="$ignored" '$0 !~ ignored || /vtd|dkms/' > /tmp/changed
	cat /tmp/changed
	[ ! -s /tmp/changed ]
}

secure_boot() {
	mountpoint -q /sys/firmware/efi/efivars ||
		mount -t efivarfs efivarfs /sys/firmware/efi/efivars || return 1
	state=$(od -An -tu1 -j4 -N1 /sys/firmware/efi/efivars/SecureBoot-* | tr -d ' ')
	[ "$state" = 1 ] && dmesg | grep 'Kernel is locked down from EFI Secure Boot'
}
