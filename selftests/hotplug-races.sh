#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Devices that are added or removed while the driver is loaded or detached. Each is then either
# served or released, and nothing that the core still uses is freed. The other thread is delayed
# at the point that matters (vtd_slow, vtd_inject_calls), so that one try is enough. Freed memory
# is zeroed or poisoned in these guests (init_on_free=1, KASAN).
#
# Boots: call-failures
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"

DETACH=/sys/kernel/vtd/detach
DELAY=/sys/kernel/debug/vtd_inject_calls/delay
SLOW=$((2000 * PATIENCE))
RELINKED=$VTD_TEST_MODULES/vtd_relinked.ko

[ -e "$RELINKED" ] || ktap_skip_all "no vtd.ko is there that was linked to vtd_inject_calls"
victim=$(attackers | head -n1)
[ -n "$victim" ] || ktap_skip_all "neither edu nor iommu-testdev is there"

# logged_before FIRST SECOND: the log has both lines, in this order.
logged_before() {
	first=$(log_since | grep -En "$1" | head -n1)
	second=$(log_since | grep -En "$2" | head -n1)
	[ -n "$first" ] && [ -n "$second" ] && [ "${first%%:*}" -lt "${second%%:*}" ] && return 0
	echo "the log should have: $1; and then: $2; it has:"
	log_since
	return 1
}

# is_gone: the driver has no device, and its module is removed.
is_gone() {
	! grep . /sys/kernel/vtd/users || { echo "these are left"; return 1; }
	rmmod vtd && ! vtd_is_loaded || { grep '^vtd ' /proc/modules; return 1; }
}

found_again() {
	[ -e "$PCI/$victim" ] || echo 1 > /sys/bus/pci/rescan
	[ -e "$PCI/$victim" ] || { echo "$victim did not come back"; return 1; }
}

# slow_removal WHERE: starts the victim's removal, which sleeps there.
slow_removal() {
	insmod "$VTD_TEST_MODULES/vtd_slow.ko" device="$victim" on="$1" ms="$SLOW" || return 1
	log_start
	echo 1 > "$PCI/$victim/remove" &
	log_has "vtd_slow: $victim: sleeps"
}

# The device that is being removed is off its bus and not yet released by the core.
unplug_during_detach() {
	insmod "$VTD_KO" && slow_removal "$1" || return 1
	echo 1 > $DETACH || { echo "the detach was refused"; return 1; }
	wait
	logged_before "vtd_slow: $victim: continues" "vtd: detached:" && is_gone && rmmod vtd_slow &&
		found_again
}

# slow_rescan FUNCTION SKIP: rescans for the victim, whose probe sleeps in that call.
slow_rescan() {
	insmod "$RELINKED" || return 1
	echo 1 > "$PCI/$victim/remove"
	log_start
	echo "$1 $SLOW $2" > $DELAY
	echo 1 > /sys/bus/pci/rescan &
	log_has "vtd_inject_calls: $1: sleeps"
}

# A device that is being added: the driver's probe callback has returned, or is about to.
plug_during_detach() {
	slow_rescan "$1" "$2" || return 1
	echo 1 > $DETACH || { echo "the detach was refused"; return 1; }
	wait
	logged_before "vtd_inject_calls: $1: continues" "vtd: detached:" || return 1
	[ "$(group_type "$victim")" = none ] || { echo "$victim is $(group_type "$victim")"; return 1; }
	is_gone
}

# The load fails at the last device's group, after having slept there. A device that it has probed
# is unplugged concurrently, and waits.
unplug_from_failing_load() {
	insmod "$RELINKED" || return 1
	served=$(grep -c . /sys/kernel/vtd/users)
	echo 1 > $DETACH && is_gone || return 1
	log_start
	echo "pci_device_group $SLOW $((served - 1)) 1" > $DELAY
	insmod "$RELINKED" 2> /tmp/why &
	load=$!
	log_has "vtd_inject_calls: pci_device_group: sleeps" || return 1
	echo 1 > "$PCI/$victim/remove" &
	removal=$!
	! wait $load || { echo "the load succeeded"; return 1; }
	wait $removal
	! vtd_is_loaded || { echo "the module is loaded"; return 1; }
	log_since | grep -Eq "not loaded: out of memory|IOMMU core refused" || { log_since; return 1; }
	found_again
}

# If a driver removes a device without the lock of removals, the core's walk misses the device.
# Its unit continues to translate until the device is removed.
removed_without_lock() {
	insmod "$VTD_KO" && insmod "$VTD_TEST_MODULES/vtd_slow.ko" device="$victim" ms="$SLOW" || return 1
	unit=$(unit_of "$victim")
	base=$(unit_base "$unit")
	log_start
	echo 1 > /sys/kernel/debug/vtd_slow/remove &
	log_has "vtd_slow: $victim: sleeps" || return 1
	! sh -c "echo 1 > $DETACH" 2> /tmp/why || { echo "the detach was accepted"; return 1; }
	grep -q "$EBUSY" /tmp/why || { cat /tmp/why; return 1; }
	log_has "$unit: translation stays on: $victim is being added or removed" &&
		log_has "not fully detached" && translates_at "$base" || return 1
	! rmmod vtd 2> /dev/null || { echo "rmmod succeeded"; return 1; }
	wait
	echo 1 > $DETACH || { echo "the second detach was refused"; return 1; }
	log_has "vtd: detached:" && is_gone && rmmod vtd_slow && found_again
}

ktap_start 10
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
ktap_check "vtd_inject_calls loads" insmod "$VTD_TEST_MODULES/vtd_inject_calls.ko"
ktap_check "unplugged during detach: off its bus, before notifications" unplug_during_detach devres
ktap_check "unplugged during detach: right before the core releases it" unplug_during_detach removed
ktap_check "added during detach: before the driver probes it" \
	plug_during_detach krealloc_node_align_noprof 0
ktap_check "added during detach: before the driver's probe returns" plug_during_detach debugfs_create_dir 0
ktap_check "added during detach: while the core forms its group" plug_during_detach pci_device_group 0
ktap_check "unplugged during a load that fails" unplug_from_failing_load
if [ -e /proc/lockdep_stats ]; then
	ktap_skip "removed by a driver, without the lock: translation of its unit stays on" \
		"the kernel itself complains of such a removal: it has lock debugging"
else
	ktap_check "removed by a driver, without the lock: translation of its unit stays on" removed_without_lock
fi
ktap_check "afterwards drivers serve their devices" \
	eval 'need_vtd && attack "$victim" allowed-write && [ "$(attack_word landed)" = 1 ]'
ktap_check "no kernel warning" dmesg_is_clean
ktap_end
