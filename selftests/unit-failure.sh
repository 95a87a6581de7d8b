#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# A unit that fails blocks its devices. The driver's test hooks make the queue report errors or
# hang. Afterwards no device of the unit reaches memory, one log line says so, nothing loops, and
# the driver unloads and the machine shuts down in the ordinary way. Errors that do not affect
# memory protection interrupt no device.
#
# Boots: injected-errors, scalable
# Order: last
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/tables.sh"

INJECT=/sys/kernel/vtd/inject_error

testdev=$(pci_by_id 0x1b36:0x0005 | head -n1)
[ -n "$testdev" ] && [ -n "$(pci_by_id 0x1234:0x11e8)" ] || ktap_skip_all "edu and iommu-testdev are not both there"
[ "$VTD_KO" != none ] || ktap_skip_all "errors can be injected only into vtd"

# fresh: loads the driver again, with hooks, and drives only the devices that are attacked with:
# other drivers would report for minutes that their devices are blocked.
fresh() {
	need_no_vtd && insmod "$VTD_KO" test_hooks=1 && insmod "$VTD_TEST_MODULES/vtd_devices.ko" &&
		insmod "$VTD_TEST_MODULES/vtd_attack.ko" || return 1
	unit=$(unit_of "$testdev")
	edu=$(pci_by_id 0x1234:0x11e8 | behind_unit "$unit" | head -n1)
	FAILED="vtd: $unit: .*every device behind it is blocked from now on"
}

# inject ERROR...: injects errors in the unit of the devices that are attacked with, one by one.
inject() {
	for word in "$@"; do echo "$unit $word" > $INJECT || return 1; done
}

lands() {
	attack "$1" allowed-write && [ "$(attack_word landed)" = 1 ] || { echo "$attacked"; return 1; }
}

is_refused() {
	attack "$1" allowed-write && [ "$(attack_word landed)" = 0 ] || { echo "$attacked"; return 1; }
}

is_logged_once() {
	log_has "$FAILED" || return 1
	sleep 2
	[ "$(log_since | grep -Ec "$FAILED")" = 1 ] || { log_since; return 1; }
}

# The log does not repeat itself: it has a few lines for what was done since.
is_quiet() {
	for try in $(seq $((2 * PATIENCE))); do
		lines=$(log_since | wc -l)
		sleep 3
		[ "$(log_since | wc -l)" != "$lines" ] || break
	done
	[ "$(log_since | wc -l)" = "$lines" ] || { log_since; return 1; }
	[ "$lines" -lt 20 ] || { log_since; return 1; }
}

attach_fails() {
	echo "$testdev" > "$PCI/$testdev/driver/unbind"
	! sh -c "echo identity > $PCI/$testdev/iommu_group/type" 2> /tmp/why ||
		{ echo "the attach was accepted"; return 1; }
	grep -q 'Input/output error' /tmp/why || { cat /tmp/why; return 1; }
	log_has "$testdev: not attached: the unit failed earlier"
}

# Where the unit remaps interrupts, no entry is present any more, and the log says whether the unit
# has confirmed that.
interrupts_are_blocked() {
	entries=/sys/kernel/debug/vtd/$unit/interrupts
	grep -q '; on, table at ' "$entries" || { cat "$entries"; ! grep -qw noapic /proc/cmdline; return; }
	! grep ' vector ' "$entries" || return 1
	log_has "vtd: $unit: interrupts of these devices (are refused as well|may still arrive, .* vector next: reboot)"
}

# fails NAME INJECTIONS: eight results about one way to fail.
fails() {
	name=$1
	shift
	case $name in
	*", by registers")
		if is_scalable "$unit"; then
			for number in 1 2 3 4 5 6 7 8; do
				ktap_skip "$name: $number" "scalable mode has no invalidation by registers"
			done
			return
		fi ;;
	esac
	ktap_check "$name: vtd loads and a device reaches its memory" eval 'fresh && lands "$edu"'
	mark "unit-failure $name begin"
	log_start
	inject "$@"
	# If the injected error takes effect at the next invalidation, this is it.
	attack "$edu" allowed-write > /dev/null
	ktap_check "$name: one log line says that the unit failed" is_logged_once
	ktap_check "$name: a device is refused what it was given" is_refused "$edu"
	ktap_check "$name: another device is refused, too" is_refused "$testdev"
	mark "unit-failure $name end"
	ktap_check "$name: the fault is recorded and explained" \
		log_has "fault: device $edu .*reason 0x01\), its unit failed earlier"
	ktap_check "$name: a later attach fails and is explained" attach_fails
	ktap_check "$name: interrupts are blocked as well" interrupts_are_blocked
	ktap_check "$name: then all is quiet" is_quiet
}

# Flushes from two processors while the unit fails: both return, and what they unmapped is out of
# reach.
fails_under_load() {
	fresh || return 1
	log_start
	for bdf in "$edu" "$testdev"; do
		(while [ ! -e /tmp/enough ]; do attack "$bdf" allowed-write; done) > /dev/null 2>&1 &
	done
	sleep 1
	inject invalid-descriptor
	sleep 1
	touch /tmp/enough
	wait
	rm /tmp/enough
	log_has "$FAILED" && is_refused "$edu" && is_refused "$testdev"
}

# A unit that confirms nothing, neither by the queue nor by registers.
no_register_works() {
	fresh || return 1
	log_start
	inject fail-without-root-table fail-without-queue fail-without-registers \
		invalid-descriptor || return 1
	log_has '(does not respond to register commands either|has not dropped what it cached).*power the machine off'
}

# ask WORDS: makes a request to the IOMMU core, like users of groups.
ask() {
	echo "$*" > /sys/kernel/debug/vtd_owner/do
}

ask_gets() {
	why=$1
	shift
	! sh -c "echo $* > /sys/kernel/debug/vtd_owner/do" 2> /tmp/why ||
		{ echo "granted: $*"; return 1; }
	grep -q "$why" /tmp/why || { cat /tmp/why; return 1; }
}

is_now() {
	[ "$(group_type "$1")" = DMA ] && [ "$(awk -v bdf="$1" '$1 == bdf { print $4 }' \
		/sys/kernel/vtd/users)" = "$2" ] || { cat /sys/kernel/vtd/users; return 1; }
}

# One device is in a user's domain, one is claimed and blocked.
with_users() {
	fresh && insmod "$VTD_TEST_MODULES/vtd_owner.ko" && for bdf in "$edu" "$testdev"; do
		echo "$bdf" > "$PCI/$bdf/driver/unbind" && ask claim "$bdf" a || return 1
	done
	ask new a "$edu" && ask new b "$edu" && ask attach a "$edu" && is_now "$edu" unmanaged
}

# These must not fail: the core warns if the driver refuses them. No other warning is looked for.
detach_and_release() {
	ask detach a "$edu" && is_now "$edu" blocked && ask release "$edu" && is_now "$edu" DMA &&
		ask release "$testdev" && is_now "$testdev" DMA
}

reaches_nothing() {
	for bdf in "$edu" "$testdev"; do
		echo "$bdf" > /sys/bus/pci/drivers/vtd_attack/bind || return 1
		is_refused "$bdf" || return 1
	done
}

# releases NAME INJECTION: a unit that fails while users have its devices; six results.
releases() {
	ktap_check "$1, users: two devices are claimed, one has a domain" with_users
	log_start
	inject "$2"
	ktap_check "$1, users: detach and release succeed" detach_and_release
	ktap_check "$1, users: the log says that the devices stay blocked" \
		log_has "$edu: domain restored, but the device stays blocked: the unit failed earlier"
	ktap_check "$1, users: the devices reach nothing" reaches_nothing
	echo "$edu" > "$PCI/$edu/driver/unbind"
	ask claim "$edu" a
	ktap_check "$1, users: a domain is refused" ask_gets 'Input/output error' attach b "$edu"
	ask release "$edu"; ask free a; ask free b
	ktap_check "$1, users: no kernel warning" log_is_clean
	rmmod vtd_owner
}

# A device found behind a failed unit: the core warns if the driver refuses its first attach.
found_again() {
	echo 1 > "$PCI/$edu/remove" && echo 1 > /sys/bus/pci/rescan && is_present "$edu" 1 &&
		is_now "$edu" "$1" && log_has "$edu: first domain set, but the device stays blocked: the unit failed earlier"
}

# finds NAME INJECTION: a device that is found after the unit failed; six results.
finds() {
	ktap_check "$1, hot-plug: vtd loads" fresh
	inject "$2"
	attack "$edu" allowed-write > /dev/null
	log_start
	ktap_check "$1, hot-plug: a rescanned device gets a domain, and the log says that it stays blocked" found_again DMA
	ktap_check "$1, hot-plug: its driver binds, and it is refused" is_refused "$edu"
	ktap_check "$1, hot-plug: its fault is reported by its name" \
		log_has "fault: device $edu .*reason 0x01\), its unit failed earlier"
	ktap_check "$1, hot-plug: removed and rescanned again" found_again DMA
	ktap_check "$1, hot-plug: no kernel warning" log_is_clean
}

# recovers NAME INJECTION PATTERN: three results about an error that does not fail the unit.
recovers() {
	ktap_check "$1: vtd loads" fresh
	mark "surviving $1 begin"
	log_start
	inject "$2"
	ktap_check "$1: devices reach their memory afterwards" eval 'lands "$edu" && lands "$testdev"'
	ktap_check "$1: the log says what happened" log_has "vtd: $unit: .*$3"
	mark "surviving $1 end"
}

# is_listed LINE WORDS NAME...: the line is refused, and the log lists these names after the words.
is_listed() {
	line=$1 words=$2
	shift 2
	log_start
	! sh -c "echo $line > $INJECT" 2> /tmp/why || { echo "it was accepted"; return 1; }
	grep -q 'nvalid argument' /tmp/why || { cat /tmp/why; return 1; }
	log_has "vtd: inject_error: .*$words $(echo "$*" | sed 's/ /, /g')\$"
}

# another: prints a device to attack with that is behind another unit.
another() {
	for bdf in $(attackers); do
		[ "$(unit_of "$bdf")" = "$unit" ] || { echo "$bdf"; return; }
	done
}

fails_alone() {
	fresh && lands "$other" || return 1
	log_start
	inject invalid-descriptor
	is_logged_once && is_refused "$edu" && lands "$other" || return 1
	! log_since | grep "vtd: $(unit_of "$other"): .*blocked from now on"
}

# is_blocked BDF: its transfer fails. With caching mode the unit must confirm each map, so a map for
# it fails, too.
is_blocked() {
	if attack "$1" allowed-write > /tmp/why 2>&1; then
		[ "$(attack_word landed)" = 0 ] || { echo "$attacked"; return 1; }
	else
		grep 'Cannot allocate memory' /tmp/why || { cat /tmp/why; return 1; }
	fi
}

fails_as_well() {
	fresh && lands "$other" || return 1
	log_start
	echo invalid-descriptor > $INJECT
	is_logged_once && log_has "vtd: $(unit_of "$other"): .*every device behind it is blocked from now on" &&
		is_refused "$edu" && is_blocked "$other"
}

overflow() {
	log_start
	inject hold-faults
	attack "$edu" never-mapped
	attack "$testdev" never-mapped
	inject release-faults
	log_has "fault: device $edu" &&
		log_has 'more requests were refused than the unit can record at a time' &&
		attack "$testdev" never-mapped && log_has "fault: device $testdev"
}

ktap_start 90
dmesg -n 5 2>/dev/null
fresh > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
[ -n "$edu" ] || ktap_skip_rest "no edu is behind the unit of $testdev"
recovers "device-TLB time-out (ITE)" time-out-error 'ITE'
recovers "wrong completion (ICE)" completion-error 'ICE'
mark "overflow begin"
ktap_check "lost fault records (PFO) are noticed, and recording continues" overflow
mark "overflow end"
fails "invalid descriptor" invalid-descriptor
fails "invalid descriptor, by the queue" fail-without-root-table invalid-descriptor
fails "invalid descriptor, by registers" fail-without-root-table fail-without-queue invalid-descriptor
fails "hang" hang
fails "hang, by root table alone" fail-without-queue fail-without-registers hang
ktap_check "hang, by root table alone: the log mentions writes in flight" \
	log_has "$FAILED, but the unit did not confirm that writes in flight have drained"
fails "hang, by registers" fail-without-root-table hang
releases "invalid descriptor" invalid-descriptor
releases "hang" hang
finds "invalid descriptor" invalid-descriptor
finds "hang" hang
ktap_check "a name of no unit is refused, and the log lists the units' names" \
	eval 'fresh && is_listed "nosuch hang" "name one of" $(all_units)'
ktap_check "a name of no error is refused, and the log lists the errors' names" is_listed "$unit nosuch" \
	"is none of" invalid-descriptor hang time-out-error completion-error fail-without-root-table \
	fail-without-queue fail-without-registers hold-faults release-faults
other=$(another)
if [ -n "$other" ]; then
	ktap_check "named, a unit fails alone: a device of another continues" fails_alone
	ktap_check "none is named: both units fail" fails_as_well
else
	ktap_skip "named, a unit fails alone: a device of another continues" "edu and iommu-testdev are behind one unit"
	ktap_skip "none is named: both units fail" "edu and iommu-testdev are behind one unit"
fi
ktap_check "a unit that confirms nothing: the log says so" no_register_works
ktap_check "under load: the unit fails and its devices are blocked" fails_under_load
ktap_check "after all of this, a freshly loaded driver works" eval 'fresh && lands "$edu" && lands "$testdev"'
ktap_check "hooks are refused without test_hooks=1" eval \
	'need_no_vtd && insmod "$VTD_KO" && ! sh -c "echo hang > $INJECT" 2> /dev/null'
# The machine shuts down with a failed unit.
ktap_check "the last unit stays failed" eval \
	'fresh && inject invalid-descriptor && is_refused "$edu"'
ktap_check "no kernel warning" dmesg_is_clean
ktap_end
