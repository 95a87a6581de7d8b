# SPDX-License-Identifier: GPL-2.0
#
# Disks and network devices, and work for them. Sourced by common.sh.
# shellcheck shell=dash

# block_device BDF: prints the name of the whole disk behind a function, once it exists.
block_device() {
	for try in $(seq $((20 * PATIENCE))); do
		for disk in /sys/block/*; do
			case $(readlink -f "$disk") in
			*/"$1"/*)
				[ -b "/dev/${disk##*/}" ] && [ "$(cat "$disk/size")" != 0 ] &&
					{ echo "${disk##*/}"; return 0; } ;;
			esac
		done
		sleep 0.25
	done
	return 1
}

# net_device BDF: brings the function's interface up, with address and link, and prints it.
net_device() {
	for try in $(seq $((20 * PATIENCE))); do
		for net in "$PCI/$1"/net/* "$PCI/$1"/virtio*/net/*; do
			[ -e "$net" ] || continue
			name=${net##*/}
			ip link set "$name" up
			ip addr add 10.0.2.15/24 dev "$name" 2>/dev/null
			[ "$(cat "$net/carrier" 2>/dev/null)" = 1 ] && { echo "$name"; return 0; }
		done
		sleep 0.25
	done
	return 1
}

# payload BYTES: makes a file of random bytes, once; fewer where the kernel is slow, but whole MiB,
# which transfers that bypass the caches need.
payload() {
	[ -f /tmp/payload ] ||
		head -c $(((($1 / SHRINK - 1) >> 20) + 1 << 20)) /dev/urandom > /tmp/payload
}

sum_of() {
	sha256sum < "$1" | cut -d' ' -f1
}

# unmount_and_drop DISK: unmounts /mnt/io, which drops the pages of its files, and writes and drops
# the disk's own pages (BLKFLSBUF), so that the next read is from the disk. To drop all of memory
# there is /proc/sys/vm/drop_caches, where a kernel has it.
unmount_and_drop() {
	umount /mnt/io || { echo "$1 could not be unmounted"; return 1; }
	blockdev --flushbufs "/dev/$1" || { echo "what is cached of $1 could not be dropped"; return 1; }
}

# given_by DISK: prints how many bytes were read from it so far.
given_by() {
	echo $(($(awk '{ print $3 }' "/sys/block/$1/stat") * 512))
}

# disk_io BDF: runs mkfs, writes the payload, drops what is cached of the disk, reads it back. Sets
# wrote and read to the checksums, and moved to the number of bytes that were read from the disk
# after that.
disk_io() {
	disk=$(block_device "$1") || { echo "no disk appeared behind $1"; return 1; }
	mkfs.ext4 -q -F "/dev/$disk" || { echo "mkfs.ext4 failed on $disk"; return 1; }
	mkdir -p /mnt/io
	mount -t ext4 "/dev/$disk" /mnt/io || { echo "$disk could not be mounted"; return 1; }
	cp /tmp/payload /mnt/io/payload || { echo "writing to $disk failed"; return 1; }
	wrote=$(sum_of /tmp/payload)
	unmount_and_drop "$disk" || return 1
	before=$(given_by "$disk")
	mount -t ext4 "/dev/$disk" /mnt/io || { echo "$disk could not be mounted again"; return 1; }
	read=$(sum_of /mnt/io/payload)
	umount /mnt/io
	moved=$(($(given_by "$disk") - before))
	[ "$wrote" = "$read" ] || { echo "other bytes were read from $disk than were written"; return 1; }
	[ "$moved" -ge "$(stat -c %s /tmp/payload)" ] ||
		{ echo "only $moved bytes came from $disk; the rest was cached"; return 1; }
}

# net_io BDF BYTES: fetches a file from the host over TCP and sends it back. Sets fetched to the
# checksum of what arrived; the host knows the right one.
net_io() {
	net=$(net_device "$1") || { echo "no linked interface appeared behind $1"; return 1; }
	port=$(cmdline guest.port)
	[ -n "$port" ] || { echo "the host serves no file: guest.port is not set"; return 1; }
	printf 'GET %d\n' "$2" | timeout $((120 * PATIENCE)) nc 10.0.2.2 "$port" > /tmp/fetched
	[ "$(stat -c %s /tmp/fetched)" -eq "$2" ] ||
		{ echo "$(stat -c %s /tmp/fetched) bytes arrived, not $2"; return 1; }
	fetched=$(sum_of /tmp/fetched)
	{ printf 'PUT %d\n' "$2"; cat /tmp/fetched; } |
		timeout $((120 * PATIENCE)) nc 10.0.2.2 "$port" > /tmp/answer
	read -r sent < /tmp/answer
	rm -f /tmp/fetched
	[ "$fetched" = "$sent" ] ||
		{ echo "the host received other bytes than were sent ($sent, not $fetched)"; return 1; }
}
