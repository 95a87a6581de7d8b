#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Held memory on a kernel that swaps and has transparent huge pages: more memory is used than there
# is, with swap on an NVMe disk behind the unit, and huge pages are read and written directly while
# processes fork. No byte is wrong, no process is killed, and reclaim gets held memory back.
#
# Boots: pressed
# Order: first
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/memory.sh"
. "$(dirname "$0")/lib/held.sh"

PAGES=200
MORE=96		# MiB above what is there
SECONDS_OF_IO=5
[ "$(cmdline guest.long)" != 1 ] || SECONDS_OF_IO=60

grep -q '^pswpout ' /proc/vmstat || ktap_skip_all "this kernel cannot swap (CONFIG_SWAP)"
[ -e /sys/kernel/mm/transparent_hugepage ] || ktap_skip_all "this kernel has no transparent huge pages"
[ -n "${VTD_DISKS:-}" ] || ktap_skip_all "VTD_DISKS names no disk that may be overwritten"
bdf=$(pci_by_id 0x1b36:0x0005 | head -n1)
[ -n "$bdf" ] || ktap_skip_all "iommu-testdev is not there"
[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver holds nothing"
swap=${VTD_DISKS%% *} other=${VTD_DISKS##* }

swapped_out() {
	awk '$1 == "pswpout" { print $2 }' /proc/vmstat
}

swaps() {
	mkswap "/dev/$(block_device "$swap")" && swapon "/dev/$(block_device "$swap")"
}

# pressed: the swap gets what memory has no room for.
pressed() {
	before=$(swapped_out)
	room=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
	"$PROGRAMS/hold_swap" $((room + MORE)) || { echo "of $((room + MORE)) MiB"; return 1; }
	echo "$room MiB were free; $(($(swapped_out) - before)) pages were swapped out"
	[ $(($(swapped_out) - before)) -ge $((MORE * 128)) ]
}

huge_and_forked() {
	"$PROGRAMS/hold_direct" "/dev/$(block_device "$other")" $SECONDS_OF_IO > /tmp/direct ||
		{ cat /tmp/direct; return 1; }
	grep -q '^ok .*huge-kb=[1-9]' /tmp/direct || { cat /tmp/direct; return 1; }
}

# held_of BDF: some of its memory was held.
held_of() {
	grep "allocated-for=$1 .*lazy=yes .*held-pages=[1-9]" $DOMAINS || { cat $DOMAINS; return 1; }
}

ktap_start 10
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
# Off by default where there is little memory.
echo madvise > /sys/kernel/mm/transparent_hugepage/enabled
# The kernel complains if it finds no page for the tables of its swap.
echo 16384 > /proc/sys/vm/min_free_kbytes
log_start
{ load_vtd lazy=1 && load_drivers && insmod "$VTD_TEST_MODULES/vtd_keep.ko" device="$bdf"; } > /tmp/need 2>&1 ||
	ktap_abort "the module does not load: $(cat /tmp/need)"
ktap_check "the disk is used for swap" swaps
ktap_check "more memory is used than there is: no byte is wrong" pressed
ktap_check "memory of the disk was held" held_of "$swap"
echo "# flushes because memory was short: $(counted_as flushed-reclaim)"
ktap_check "what is held is released when memory is short" reclaimed
rmmod vtd_keep
ktap_check "direct I/O of transparent huge pages with forks: no byte is wrong" huge_and_forked
echo "# $(cat /tmp/direct)"
ktap_check "memory of that disk was held" held_of "$other"
ktap_check "swap can be turned off again" swapoff "/dev/$(block_device "$swap")"
ktap_check "nothing is held afterwards" nothing_held
ktap_check "no process was killed" eval '! log_since | grep -Ei "out of memory|oom-kill|killed process"'
ktap_check "no kernel warning" log_is_clean
ktap_end
