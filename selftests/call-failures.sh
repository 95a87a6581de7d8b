#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Each step that can fail does so once, in turn. A step is a call to the kernel that may fail,
# allocations included, during a load, a probe, a user's claim, mapping and attach, during the
# detach and release that must not fail, and during a detach of the driver. The operation then
# fails and leaves nothing behind, or it succeeds without the step. Operations that must not fail
# succeed. The module is vtd.ko, linked to vtd_inject_calls instead of to the kernel's functions;
# alloc-failures.sh injects failures into the kernel's own allocations, on the debug kernel.
#
# With VTD_STRIDE (or guest.stride) above 1 only every VTD_STRIDE-th step of a load is tried.
#
# Boots: call-failures
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"
. "$(dirname "$0")/lib/memory.sh"
. "$(dirname "$0")/lib/interrupts.sh"

VECTORS=/sys/kernel/debug/vtd_vectors/run
FAIL=/sys/kernel/debug/vtd_inject_calls/fail
BUSY=/sys/kernel/debug/vtd_inject_calls/busy
DETACH=/sys/kernel/vtd/detach
MOST=2000
STRIDE=${VTD_STRIDE:-$(cmdline guest.stride)}
STRIDE=${STRIDE:-1}

VTD_KO=$VTD_TEST_MODULES/vtd_relinked.ko
[ -e "$VTD_KO" ] || ktap_skip_all "no vtd.ko is there that was linked to vtd_inject_calls"
need_memory
victim=$(attackers | head -n1)
[ -n "$victim" ] || ktap_skip_all "neither edu nor iommu-testdev is there"
edu=$(pci_by_id 0x1234:0x11e8 | head -n1)
[ -n "$edu" ] || ktap_skip_all "edu is not there"

# failed_one: ends the injection; prints which function failed, if the step was reached.
failed_one() {
	read -r left function < $FAIL
	[ "$left" = 0 ]
}

# each_call WHAT: runs WHAT with step 1, 2, 3... failing until none of its steps fails. WHAT
# prints what was wrong, and sets $refused to whether it was refused.
each_call() {
	nth=0 times_refused=0 survived=""
	ids=$(domain_ids) before=$(unowned)
	while :; do
		nth=$((nth + 1)) refused=0 function=-
		"$1" || { echo "step $nth of $1, $function"; dmesg | tail -n 20; return 1; }
		[ "$function" != - ] || break
		times_refused=$((times_refused + refused))
		[ $refused = 1 ] || survived="$survived $function"
		[ $nth -lt $MOST ] || { echo "no end after $MOST steps"; return 1; }
	done
	[ "$(domain_ids)" = "$ids" ] || { echo "$ids domain ids in use before, $(domain_ids) after"; return 1; }
	none_leaked "$before" || return 1
	echo "${1#one_}: $((nth - 1)) steps failed, $times_refused refused it;" \
		"done without:${survived:- none}" > /tmp/summary
}

loads() {
	load_state > /tmp/before
	before=$(table_pages)
	"$PROGRAMS/load_nth" "$VTD_KO" "$STRIDE" steps > /tmp/summary ||
		{ cat /tmp/summary; return 1; }
	load_state > /tmp/after
	diff /tmp/before /tmp/after || return 1
	same_pages "$before"
}

# one_probe: removes the victim and rescans.
one_probe() {
	echo 1 > "$PCI/$victim/remove"
	echo $nth > $FAIL
	echo 1 > /sys/bus/pci/rescan
	failed_one || function=-
	[ -e "$PCI/$victim" ] || { echo "$victim was not found again"; return 1; }
	case $(group_type "$victim") in
	none)
		refused=1
		[ "$function" != - ] || { echo "no group, though nothing failed"; return 1; }
		# Nothing is mapped for it.
		refused "$victim" "$PAGE" ;;
	DMA) is_now "$victim" DMA ;;
	*) echo "$victim is $(group_type "$victim")"; return 1 ;;
	esac
}

# as_before: the kernel has the victim, which reaches nothing that a user mapped.
as_before() {
	is_now "$victim" DMA && refused "$victim" "$USER_IOVA" "$PAGE"
}

# tear_down: undoes the steps of set_up that succeeded.
tear_down() {
	case $reached in attached) ask detach a "$victim" || return 1 ;; esac
	case $reached in attached | mapped | claimed) ask release "$victim" || return 1 ;; esac
	case $reached in nothing) ;; *) ask free a || return 1 ;; esac
}

# set_up: allocates a user's domain, claims, maps and attaches, up to the first failure.
set_up() {
	reached=nothing
	ask new a "$victim" && reached=made &&
		ask claim "$victim" a && reached=claimed &&
		ask map a $USER_IOVA "$PAGE" 0x1000 && reached=mapped &&
		ask attach a "$victim" && reached=attached
}

# one_user: a step of set_up fails; tear_down undoes the steps before it.
one_user() {
	echo $nth > $FAIL
	set_up 2> /tmp/asked || refused=1
	failed_one || function=-
	if [ $refused = 1 ]; then
		[ "$function" != - ] || { echo "refused, though nothing failed: $(cat /tmp/asked)"; return 1; }
		[ $reached = nothing ] || refused "$victim" "$USER_IOVA" "$PAGE" || return 1
	else
		lands "$victim" $USER_IOVA "$PAGE" || return 1
	fi
	tear_down && as_before
}

# one_detach_and_release: no step of set_up fails; a step of tear_down does, which nevertheless
# succeeds.
one_detach_and_release() {
	set_up || return 1
	echo $nth > $FAIL
	tear_down || return 1
	failed_one || function=-
	as_before
}

# one_allocation: interrupts are allocated and requested, or not and nothing is left of them, and
# they are freed.
one_allocation() {
	echo $nth > $FAIL
	echo "$edu msi 1" > $VECTORS || refused=1
	failed_one || function=-
	[ $refused = 0 ] || [ "$function" != - ] || { echo "refused, though nothing failed"; return 1; }
	echo "$edu free 0" > $VECTORS
	! grep " $edu vector" "$(unit_files "$edu")"/interrupts
}

# one_detach: is refused and changes nothing, or succeeds, and then the driver loads again.
one_detach() {
	echo $nth > $FAIL
	if ! echo 1 > $DETACH 2> /tmp/asked; then
		refused=1
	fi 2> /dev/null
	failed_one || function=-
	if [ $refused = 1 ]; then
		[ "$function" != - ] || { echo "refused, though nothing failed"; return 1; }
		as_before
		return
	fi
	rmmod vtd && insmod "$VTD_KO" && as_before
}

# driver_waits: a driver's module is not removed while its name is being copied, which a user who
# reads the list of devices does at any time.
driver_waits() {
	driver=$(driver_of "$victim")
	echo "$driver 3000" > $BUSY
	cat /sys/kernel/vtd/users > /tmp/users &
	log_has "vtd_inject_calls: busy with $driver" || return 1
	rmmod "$driver"
	echo "selftest: $driver is gone" > /dev/kmsg
	wait
	grep -q "^$victim .*$driver" /tmp/users || { cat /tmp/users; return 1; }
	log_since | grep -Eo "vtd_inject_calls: done with|selftest: $driver is gone" > /tmp/order
	[ "$(head -n1 /tmp/order)" = "vtd_inject_calls: done with" ] ||
		{ echo "the module was removed before"; log_since; return 1; }
}

result_of_each() {
	ktap_check "$1" "$2" "$3"
	ktap_note < /tmp/summary
	: > /tmp/summary
}

ktap_start 13
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
PAGE=$(memory 0x8000)
log_start
ktap_check "vtd_inject_calls loads" insmod "$VTD_TEST_MODULES/vtd_inject_calls.ko"
: > /tmp/summary
ktap_check "each call of a load that fails: the load is refused, or does without" loads
ktap_note < /tmp/summary
ktap_check "afterwards the driver loads" eval 'insmod "$VTD_KO" && load_owner && as_before'
result_of_each "each step of a probe: the probe is refused, or does without" each_call one_probe
result_of_each "each step of a user's claim, mapping and attach: refused, or it does without" each_call one_user
result_of_each "each step of a user's detach and release: they succeed" each_call one_detach_and_release
ktap_check "no detach and no release was refused" eval '[ "$times_refused" = 0 ]'
rmmod vtd_owner
if grep -qw noapic /proc/cmdline; then
	insmod "$VTD_TEST_MODULES/vtd_vectors.ko"
	result_of_each "each step of an allocation of interrupts: it is refused, or does without" each_call one_allocation
	rmmod vtd_vectors
	# What is left of a driver that was not bound goes with the device.
	echo 1 > "$PCI/$edu/remove"
	echo 1 > /sys/bus/pci/rescan
else
	ktap_skip "each step of an allocation of interrupts: it is refused, or does without" "they are not remapped"
fi
result_of_each "each step of a driver detach: refused, or it does without" each_call one_detach
ktap_check "afterwards drivers serve their devices" \
	eval 'load_drivers && attack "$victim" allowed-write && [ "$(attack_word landed)" = 1 ]'
ktap_check "a driver's module is not freed while its name is copied" driver_waits
ktap_check "the driver unloads" eval 'need_no_vtd && rmmod vtd_inject_calls'
ktap_check "no kernel warning" log_is_clean
ktap_end
