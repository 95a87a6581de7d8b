#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Whatever happens to a device while memory of it is held: the memory is released, once. Pages
# are held as its driver is unbound, its domain replaced, the device removed, the module unloaded.
# Then during direct I/O of processes that fork, as there is no memory for records, as all memory is
# used up, and as the machine suspends.
#
# Boots: held
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"
. "$(dirname "$0")/lib/memory.sh"
. "$(dirname "$0")/lib/held.sh"

# Pages that are held each time; the driver has records for more.
PAGES=200
ROUNDS=3
SECONDS_OF_IO=$((3 * PATIENCE))
[ "$(cmdline guest.long)" != 1 ] || ROUNDS=30 SECONDS_OF_IO=60
# Bounds in pages, see load-cycles.sh. A round that gave nothing back would cost 800.
AROUND=128
GROWTH=64

[ -n "${VTD_DISKS:-}" ] || ktap_skip_all "VTD_DISKS names no disk that may be overwritten"
bdf=$(pci_by_id 0x1b36:0x0005 | head -n1)
[ -n "$bdf" ] || ktap_skip_all "iommu-testdev is not there"
[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver holds nothing"
disk=${VTD_DISKS%% *}
FAIL=/sys/kernel/debug/vtd_inject_calls/fail

with_keep() {
	insmod "$VTD_TEST_MODULES/vtd_keep.ko" device="$bdf"
}

# ends_free: the owner frees its pages.
ends_free() {
	keeps free > /dev/null
}

unbound() {
	keeps "unbind $PAGES" && unbind "$bdf" && none_left $PAGES && ends_free
}

# The domain that holds the pages is freed immediately.
replaced() {
	keeps "now $PAGES" && set_type "$bdf" DMA && none_left $PAGES && ends_free &&
		[ "$(counted_as held-now)" = 0 ] && set_type "$bdf" DMA-FQ && bind "$bdf" vtd_attack
}

# The debug kernel warns of what is mapped when a driver is unbound.
removed() {
	unbind "$bdf" && keeps "remove $PAGES" && echo 1 > "$PCI/$bdf/remove" && none_left $PAGES || return 1
	rmmod vtd_keep
	echo 1 > /sys/bus/pci/rescan
	is_present "$bdf" 1 && with_keep
}

unloaded() {
	unload_drivers && keeps "now $PAGES" && echo 1 > /sys/kernel/vtd/detach && rmmod vtd &&
		none_left $PAGES && rmmod vtd_keep
}

one_round() {
	attackers_with lazy=1 && with_keep && unbound && replaced && removed && unloaded
}

all_rounds() {
	round_begins
	tables=$(table_pages)
	for round in $(seq $ROUNDS); do
		one_round || { echo "round $round of $ROUNDS"; return 1; }
		round_ends "$round" "$tables"
	done
}

suspended() {
	keeps "suspend $PAGES" && host wake-later && echo mem > /sys/power/state &&
		none_left $PAGES && ends_free
}

# new_domain: the device gets another domain, which has no records yet.
new_domain() {
	set_type "$bdf" DMA && set_type "$bdf" DMA-FQ
}

# no_memory: each allocation for records fails once; what is unmapped then is flushed.
no_memory() {
	flushed=0
	for nth in 1 2 3 4 5 6 7 8; do
		new_domain || return 1
		before=$(counted_as flushed-memory)
		echo $nth > $FAIL
		mark "hold kind no-memory-$nth begin"
		keeps "now 1" > /tmp/kept 2>&1
		mark "hold kind no-memory-$nth end"
		read -r left function < $FAIL
		grew=$(($(counted_as flushed-memory) - before))
		say "kind bdf=$bdf name=no-memory-$nth counter=flushed-memory grew=$grew"
		[ "$function" != - ] || break
		[ $grew = 1 ] || continue
		case $kept in
		"taken=0 "*) flushed=$((flushed + 1)) ;;
		*) echo "step $nth, $function: $kept"; return 1 ;;
		esac
		keeps "now 1"
		case $kept in
		"taken=1 "*) ;;
		*) echo "after step $nth, $function: $kept"; return 1 ;;
		esac
	done
	echo "$((nth - 1)) steps"
	[ $flushed = 3 ] || { echo "$flushed unmaps were flushed for lack of memory"; return 1; }
}

# direct_io SECONDS [huge]: reads and writes of a disk, past its cache, while children are forked.
direct_io() {
	"$PROGRAMS/hold_direct" "/dev/$(block_device "$disk")" "$@"
}

held_by_disk() {
	awk -v of="allocated-for=$disk " 'index($0, of) && match($0, /held-pages=[0-9]+/) {
		sum += substr($0, RSTART + 11, RLENGTH - 11) } END { print sum + 0 }' $DOMAINS
}

# switched: a disk is in use when its group becomes lazy; from then on its memory is held.
switched() {
	[ "$(group_type "$disk")" = DMA ] || { echo "the disk's group is $(group_type "$disk")"; return 1; }
	direct_io $SECONDS_OF_IO > /tmp/direct 2>&1 &
	sleep $((SECONDS_OF_IO / 3))
	before=$(held_by_disk)
	echo DMA-FQ > "$PCI/$disk/iommu_group/type" || return 1
	wait $! && grep -q '^ok ' /tmp/direct || { cat /tmp/direct; return 1; }
	[ "$before" = 0 ] && [ "$(group_type "$disk")" = DMA-FQ ] && [ "$(held_by_disk)" -gt 0 ] ||
		{ echo "$before pages were held before, $(held_by_disk) after"; return 1; }
}

forked() {
	before=$(held_by_disk)
	direct_io "$@" > /tmp/direct 2>&1 && grep -q '^ok ' /tmp/direct || { cat /tmp/direct; return 1; }
	[ "$(held_by_disk)" -gt "$before" ] || { echo "nothing of the disk was held"; return 1; }
}

ktap_start 16
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
log_start
settle
ktap_check "unbound, replaced, removed, unloaded $ROUNDS times: $PAGES pages are held and released" all_rounds
check_exactly "after each round at most $AROUND pages are missing" all_within $AROUND
check_exactly "from the first rounds to the last at most $GROWTH pages are lost" none_lost $GROWTH

{ load_vtd lazy=0 && load_drivers && payload $((1 << 20)); } > /tmp/need 2>&1 ||
	ktap_abort "the module does not load: $(cat /tmp/need)"
ktap_check "direct I/O, and a switch to DMA-FQ during it: no byte is wrong" switched
echo "# $(cat /tmp/direct)"
ktap_check "direct I/O with forks: no byte is wrong" forked $SECONDS_OF_IO
echo 16 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
ktap_check "direct I/O of huge pages with forks: no byte is wrong" forked $SECONDS_OF_IO huge
echo "# $(cat /tmp/direct)"
echo 0 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
ktap_check "afterwards nothing is held" nothing_held
ktap_check "the disk is pulled while its memory is held" \
	eval 'direct_io 60 > /tmp/direct 2>&1 & sleep 1; host unplug-nvme && is_present "$disk" 0 && { ! wait $!; }'
ktap_check "the disk is plugged in again and works" eval 'host plug-nvme && is_present "$disk" 1 && disk_io "$disk"'
ktap_check "nothing is held after that" nothing_held

if [ -e "$VTD_TEST_MODULES/vtd_relinked.ko" ]; then
	{ need_no_vtd && insmod "$VTD_TEST_MODULES/vtd_inject_calls.ko" &&
		insmod "$VTD_TEST_MODULES/vtd_relinked.ko" lazy=1 && with_keep; } > /tmp/need 2>&1 ||
		ktap_abort "the module with failing calls does not load: $(cat /tmp/need)"
	ktap_check "without memory for records: flushed immediately" no_memory
	ktap_check "it unloads" eval 'rmmod vtd_keep && need_no_vtd && rmmod vtd_inject_calls'
else
	ktap_skip "without memory for records" "no vtd.ko is there that was linked to vtd_inject_calls"
	ktap_skip "it unloads" "the same"
fi

{ attackers_with lazy=1 && with_keep; } > /tmp/need 2>&1 ||
	ktap_abort "the module does not load: $(cat /tmp/need)"
ktap_check "what is held is released when memory is short" reclaimed
ktap_check "once more, on what may be another processor" reclaimed
ktap_check "what is held as the machine suspends is released after it resumes" suspended
rmmod vtd_keep
ktap_check "no kernel warning" log_is_clean
ktap_end
