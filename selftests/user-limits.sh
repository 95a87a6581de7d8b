#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# An ordinary user requests as much as possible, without cost to others: a domain that is attached
# to no device uses no domain-id, the last ids stay reserved for the kernel, all memory is charged
# to the user, and the log gets few lines.
#
# Boots: users
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/vfio_users.sh"

PROGRAM=${VFIO_LIMITS:-$PROGRAMS/vfio_limits}
LIMIT=/sys/kernel/vtd/limit_units
TRACING=/sys/kernel/tracing
ALLOCATIONS="kmem/kmalloc kmem/kmem_cache_alloc kmem/mm_page_alloc percpu/percpu_alloc_percpu"
DOMAINS=300
# Log lines of each device in WINDOW seconds.
LINES=10 WINDOW=5

testdev=$(pci_by_id 0x1b36:0x0005 | head -n1)
victim=${VTD_NIC:-}
[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver has no limit_units"
[ -n "$testdev" ] && [ -n "$(pci_by_id 0x1234:0x11e8)" ] || ktap_skip_all "edu or iommu-testdev is not there"
[ -n "$victim" ] || ktap_skip_all "VTD_NIC names no device"
[ -x "$PROGRAM" ] || ktap_skip_all "vfio_limits was not built"
[ -d $TRACING/events ] || mount -t tracefs tracefs $TRACING 2> /dev/null
[ -d $TRACING/events/kmem ] || ktap_skip_all "this kernel has no trace events of allocations"

# one_left: restricts domain-ids of $unit to one that the user can have, and the last of those
# reserved for the kernel, for the removed device (one in eight; 0 and 1 belong to no domain).
one_left() {
	limit=4
	while [ $((limit - 2 - $(domain_ids "$unit"))) -lt $((limit / 8 + 1)) ]; do
		limit=$((limit + 1))
	done
	echo "$limit domain-ids, $(domain_ids "$unit") in use"
	echo "$unit $((limit << 16))" > $LIMIT
}

comes_back() {
	echo 1 > /sys/bus/pci/rescan
	is_present "$victim" 1 && [ "$(group_type "$victim")" = DMA ] ||
		{ echo "$victim: $(group_type "$victim") domain"; return 1; }
}

# watch: traces what the kernel allocates for the user, from here on.
watch() {
	: > $TRACING/trace
	echo $user > $TRACING/set_event_pid
	for event in $ALLOCATIONS; do
		echo 1 > $TRACING/events/"$event"/enable || return 1
	done
	echo 1 > $TRACING/tracing_on
}

watched() {
	echo 0 > $TRACING/tracing_on
	for event in $ALLOCATIONS; do
		echo 0 > $TRACING/events/"$event"/enable
	done
	echo > $TRACING/set_event_pid
	grep '\[vtd\]' $TRACING/trace > /tmp/allocations
	# Tables: their event has neither a size nor a caller in the driver.
	grep 'mm_page_alloc.*=GFP_KERNEL[_A-Z]*|__GFP_ZERO|__GFP_COMP$' $TRACING/trace |
		sed 's/$/ bytes_alloc=4096/' >> /tmp/allocations
}

# bytes PATTERN: sums the bytes allocated in lines that match.
bytes() {
	grep -- "$1" /tmp/allocations | sed 's/.* bytes_alloc=\([0-9]*\).*/\1/' |
		awk '{ sum += $1 } END { print sum + 0 }'
}

# The list of all domains is charged to no user, and has a word for each domain.
is_charged() {
	all=$(bytes .)
	free=$((all - $(bytes GFP_KERNEL_ACCOUNT)))
	echo "$((all / DOMAINS)) bytes for each domain, $((free / DOMAINS)) of them not charged"
	[ $((all / DOMAINS)) -ge 4096 ] && [ $((free / DOMAINS)) -le 64 ] && return
	grep -v GFP_KERNEL_ACCOUNT /tmp/allocations | head -n 20
	return 1
}

is_small() {
	[ $((all / DOMAINS)) -le 8192 ] || { echo "$((all / DOMAINS)) bytes for each domain"; return 1; }
}

now() {
	cut -d. -f1 /proc/uptime
}

few_lines() {
	lines=$(log_since | grep -c "vtd: .*$edu cannot be attached: ")
	most=$((LINES * (($(now) - asked) / WINDOW + 2)))
	echo "$lines lines, not 1 to $most:"
	log_since | grep 'vtd: ' | tail -n 20
	[ "$lines" -ge 1 ] && [ "$lines" -le "$most" ]
}

ktap_start 14
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
insmod "$VTD_KO" test_hooks=1 || ktap_abort "the module does not load with test_hooks=1"
unit=$(unit_of "$testdev")
edu=$(pci_by_id 0x1234:0x11e8 | behind_unit "$unit" | head -n1)
[ -n "$edu" ] && [ "$(unit_of "$victim")" = "$unit" ] ||
	ktap_skip_rest "an edu and $victim are not behind the unit of $testdev, whose domain-ids are made few"
log_start
ktap_check "a user has $testdev" give_to_user "$testdev"
ktap_check "a user has $edu" give_to_user "$edu"
ids=$(domain_ids)
echo 1 > "$PCI/$victim/remove"
ktap_check "the unit has few domain-ids" one_left
begins "$PROGRAM" "$testdev" "$edu"
watch || ktap_abort "allocations cannot be traced"
step 2
watched
ktap_check "allocations for them are charged to the user" is_charged
ktap_check "each domain allocates little" is_small
asked=$(now)
step 2
ktap_check "a device that is added still gets a domain" comes_back
step 1
ktap_check "the log says why, and does not repeat it a thousand times" few_lines
ends
echo 0 > $LIMIT
take_back "$testdev"
take_back "$edu"
ktap_check "domain-ids are as before" test "$(domain_ids)" = "$ids"
ktap_check "no kernel warning" log_is_clean
ktap_end
