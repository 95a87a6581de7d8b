#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Each allocation fails once, in turn, while the driver loads, while a device is probed, and while
# a domain is allocated, claimed, attached and mapped. The operation then fails and changes
# nothing, or it succeeds without the allocation. Operations that must not fail allocate nothing.
#
# Loads and probes make hundreds of allocations. With VTD_STRIDE (or guest.stride) above 1 only
# every VTD_STRIDE-th of them is tried. Setting up the DMA API for a group makes 256 allocations
# that are alike, for each group of a load: of those every ALIKEth is tried.
#
# Boots: watched, failing-allocations
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/memory.sh"

INJECT=/sys/kernel/debug/vtd_failure
RUN=/sys/kernel/debug/vtd_domain/run
SCENARIOS="fail-domain fail-claim fail-attach fail-map fail-map-wide fail-unmap fail-detach fail-release fail-dma-map fail-dma-alloc"
MOST=5000
ALIKE=131
PORTS=$(cd /sys/bus/pci/drivers/pcieport 2> /dev/null && ls -d 0000:* 2> /dev/null)
STRIDE=${VTD_STRIDE:-$(cmdline guest.stride)}
STRIDE=${STRIDE:-1}

[ -e /proc/self/fail-nth ] && [ -d /sys/kernel/debug/failslab ] &&
	[ -d /sys/kernel/debug/fail_page_alloc ] ||
	ktap_skip_all "this kernel cannot make allocations fail (FAILSLAB, FAIL_PAGE_ALLOC)"
victim=$(attackers | head -n1)
[ -n "$victim" ] || ktap_skip_all "neither edu nor iommu-testdev is there"

# Allocations that may sleep fail too, without a message, but only those of tasks.
for attr in failslab fail_page_alloc; do
	echo 0 > /sys/kernel/debug/$attr/verbose
	echo 0 > /sys/kernel/debug/$attr/probability
	echo N > /sys/kernel/debug/$attr/ignore-gfp-wait
done
echo N > /sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem
echo 0 > /sys/kernel/debug/fail_page_alloc/min-order
# kmemleak and DEBUG_OBJECTS allocate for each object, too, and work without it: those allocations
# do not fail. Nor do those of the files of interrupts in /proc: the core does not check whether
# they were created, and warns when they are missing at their removal.
for cache in /sys/kernel/slab/*; do
	case ${cache##*/} in
	kmemleak_* | debug_objects_cache | proc_dir_entry) ;;
	*) [ -L "$cache" ] || echo 1 > "$cache/failslab" ;;
	esac
done
echo Y > /sys/kernel/debug/failslab/cache-filter
# Hundreds of loads and removals spend most of their time waiting for RCU grace periods.
echo 1 > /sys/kernel/rcu_expedited

# addresses_of NAME: the start of a kernel function and of the one after it.
addresses_of() {
	awk -v name="$1" 'found && $1 != start { print "0x" start, "0x" $1; exit }
		$3 == name && !found { start = $1; found = 1 }' /proc/kallsyms
}

# only_within START END [NOT_START NOT_END]: only allocations with a caller in this range count
# and fail.
only_within() {
	[ $# = 2 ] || [ $# = 4 ] || { echo "the functions are not in /proc/kallsyms: $*"; return 1; }
	for attr in failslab fail_page_alloc; do
		echo "$1" > /sys/kernel/debug/$attr/require-start &&
			echo "$2" > /sys/kernel/debug/$attr/require-end &&
			echo "${3:-0}" > /sys/kernel/debug/$attr/reject-start &&
			echo "${4:-0}" > /sys/kernel/debug/$attr/reject-end &&
			echo 32 > /sys/kernel/debug/$attr/stacktrace-depth || return 1
	done
}

# ports unbind|bind: a load binds the ports' drivers again, which calls ACPI, and that uses what
# it has freed when an allocation fails.
ports() {
	for port in $PORTS; do
		echo "$port" > "/sys/bus/pci/drivers/pcieport/$1" || return 1
	done
}

# loads EVERY OUTCOME LEAST RANGE...: loads the driver again and again; each time the next
# allocation in the range fails. At least LEAST of the loads have OUTCOME: "refused" or "survived".
loads() {
	every=$1 outcome=$2 least=$3
	shift 3
	only_within "$@" && ports unbind || return 1
	load_state > /tmp/before
	before=$(table_pages)
	"$PROGRAMS/load_nth" "$VTD_KO" "$every" > /tmp/loads || { cat /tmp/loads; return 1; }
	load_state > /tmp/after
	only_within 0 0xffffffffffffffff && ports bind || return 1
	diff /tmp/before /tmp/after || return 1
	same_pages "$before" || return 1
	[ "$(sed -n "s/.* $outcome=\([0-9]*\).*/\1/p" /tmp/loads)" -ge "$least" ] || { echo "few loads ${outcome}: $(cat /tmp/loads)"; return 1; }
}

# The module's own allocations. The module loader makes hundreds for sections.
loads_of_driver() {
	# shellcheck disable=SC2046
	loads "$STRIDE" refused $((200 / STRIDE)) $(addresses_of do_init_module) $(addresses_of iommu_setup_dma_ops)
}

loads_of_groups() {
	# shellcheck disable=SC2046
	loads $ALIKE survived 5 $(addresses_of iommu_setup_dma_ops)
}

# lands_on BDF: its write to a page that is mapped for it reaches memory.
lands_on() {
	attack "$1" allowed-write && [ "$(attack_word landed)" = 1 ] || { echo "$attacked"; return 1; }
}

refuses() {
	attack "$victim" "$1" && [ "$(attack_word landed)$(attack_word intact)" = 01 ] ||
		{ echo "$attacked"; return 1; }
}

# probe_with N: removes the victim and rescans, with allocation N failing.
probe_with() {
	echo 1 > "$PCI/$victim/remove"
	echo "$1" > $INJECT/probe
	echo 1 > /sys/bus/pci/rescan
	left=$(cat $INJECT/probe)
	[ -e "$PCI/$victim" ] || { echo "$victim did not come back"; return 1; }
	case $(group_type "$victim") in
	none)
		# Without a group nothing is mapped for it: it must not reach memory.
		without=$((without + 1))
		[ "$left" = 0 ] || { echo "no group, though nothing failed"; return 1; } ;;
	DMA) within=$((within + 1)) ;;
	*) echo "$victim is $(group_type "$victim")"; return 1 ;;
	esac
}

probes() {
	nth=1 without=0 within=0
	# After a rescan it has a domain in which nothing was ever mapped, as at the end.
	echo 1 > "$PCI/$victim/remove"
	echo 1 > /sys/bus/pci/rescan
	ids=$(domain_ids) before=$(unowned)
	while :; do
		probe_with $nth || { echo "allocation $nth of a probe"; dmesg | tail -n 30; return 1; }
		[ "$left" = 0 ] || break
		nth=$((nth + STRIDE))
		[ $nth -lt $MOST ] || { echo "no end after $MOST allocations"; return 1; }
	done
	[ "$(domain_ids)" = "$ids" ] || { echo "$ids domain ids in use before, $(domain_ids) after"; return 1; }
	none_leaked "$before" || return 1
	[ $without -ge $((5 / STRIDE + 1)) ] || { echo "only $without probes failed"; return 1; }
}

once() {
	echo "$1" > $RUN || { echo "vtd_domain does not know $1"; return 1; }
	cat $RUN
	[ "$(cut -d: -f1 $RUN)" = ok ]
}

# The default domain keeps the tables of what the DMA API has used. The DMA API may choose other
# addresses each time: if none is free below 4 GiB, one above.
plays() {
	before=$(unowned)
	once "$1" || return 1
	cat $RUN > /tmp/played
	none_leaked "$before"
}

# After a rescan the victim has a domain in which nothing was ever mapped. Its first mappings
# take tables, and none of these counts as leaked.
tables_are_owned() {
	before=$(unowned) all=$(table_pages)
	load_drivers && lands_on "$victim" && none_leaked "$before" || return 1
	[ "$(table_pages)" -gt "$all" ] || { echo "$all pages of tables, and no more after a mapping"; return 1; }
}

# shellcheck disable=SC2086
set -- $SCENARIOS
ktap_start $(($# + 11))
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
log_start
ktap_check "vtd_failure loads" insmod "$VTD_TEST_MODULES/vtd_failure.ko"
ktap_check "each allocation of a load, except for the DMA API of groups" loads_of_driver
ktap_note < /tmp/loads
ktap_check "each ALIKEth allocation for the DMA API of groups" loads_of_groups
ktap_note < /tmp/loads
ktap_check "afterwards the driver loads" need_vtd
ktap_check "afterwards a device reaches what is mapped for it" lands_on "$victim"
rmmod vtd_attack
ktap_check "each allocation of a probe" probes
echo "$((nth - STRIDE)) allocations of a probe, every ${STRIDE}th failed: $without times without a group, $within with one" | ktap_note
ktap_check "afterwards the device reaches what is mapped for it, through its domain's tables" tables_are_owned
ktap_check "the device reaches nothing else" refuses never-mapped
rmmod vtd_attack
ktap_check "vtd_domain loads" insmod "$VTD_TEST_MODULES/vtd_domain.ko"
for scenario in $SCENARIOS; do
	: > /tmp/played
	ktap_check "$scenario" plays "$scenario"
	ktap_note < /tmp/played
done
back_to_default() {
	rmmod vtd_domain vtd_failure && load_drivers && lands_on "$victim" && refuses unmapped
}
ktap_check "afterwards the default domain serves the device" back_to_default
ktap_check "no kernel warning" log_is_clean
ktap_end
