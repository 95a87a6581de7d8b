# SPDX-License-Identifier: GPL-2.0
#
# What the guest's jobs share. File descriptor 3 is the channel to the host: one record per line, a
# word that names its kind and then key=value words. selftests/lib/common.sh sources this file and
# has what needs no host.
# shellcheck shell=dash disable=SC3045

NVME=0000:01:00.0
NIC=0000:00:03.0
VIRTIO=0000:00:04.0
EDU=0000:00:05.0
TESTDEV=0000:00:06.0

# These are kmod's programs, not busybox's, whose insmod tries a refused load a second time. The
# functions are needed because busybox's shell prefers its own whatever PATH says.
insmod() { /sbin/insmod "$@"; }
rmmod() { /sbin/rmmod "$@"; }
modprobe() { /sbin/modprobe "$@"; }
modinfo() { /sbin/modinfo "$@"; }

say() {
	echo "$*" >&3
}

# host VERB WORDS: requests a service of the host; prints its answer. Fails if the host reports an
# error, or does not answer for a minute (for some minutes on a slow kernel).
host() {
	echo "host $*" >&3
	read -r -t $((60 * ${PATIENCE:-1})) word answer <&3 || return 1
	echo "$answer"
	[ "$word" = ok ]
}

# cmdline NAME [DEFAULT]: prints a value from the kernel command line.
cmdline() {
	for word in $(cat /proc/cmdline); do
		case $word in
		"$1"=*) echo "${word#*=}"; return ;;
		esac
	done
	echo "${2-}"
}

uptime_s() {
	cut -d' ' -f1 /proc/uptime
}

# mark LABEL: writes the same number into QEMU's trace, the kernel log and the channel, so that the
# host can divide all three at the same place. In the trace it is a write to an unimplemented word
# of iommu-testdev's configuration space.
mark() {
	mark_count=$(($(cat /run/marks 2>/dev/null || echo 0) + 1))
	echo "$mark_count" > /run/marks
	# shellcheck disable=SC2059
	printf "$(printf '\\x%02x\\x%02x\\x00\\x00' $((mark_count & 255)) $((mark_count >> 8)))" |
		dd of="$PCI/$TESTDEV/config" bs=4 seek=$((0xf0 / 4)) conv=notrunc 2>/dev/null
	echo "<5>guest: mark $mark_count $*" > /dev/kmsg
	say "mark number=$mark_count label=\"$*\""
}

# send_dump: sends the host a dump. It needs no driver.
send_dump() {
	/selftests/vtd save /tmp/dump.tar.gz > /run/why 2>&1 || { cat /run/why; return 1; }
	base64 /tmp/dump.tar.gz | while read -r line; do say "dump line=$line"; done
	say "dump-end"
}

# statistics: reports every counter of the driver, as name=value words.
statistics() {
	for file in /sys/kernel/debug/vtd/*/statistics; do
		[ -e "$file" ] || continue
		unit=${file%/statistics}
		say "statistics unit=${unit##*/} $(sed -n \
			's/^[[:space:]]*\([A-Za-z0-9_-]*\)[: ][[:space:]]*\([0-9]*\)$/\1=\2/p' "$file" | tr '\n' ' ')"
	done
}
