#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Suspend to memory resets the unit's registers. After the resume everything is as before, disks
# that were in use continue, and no more memory is reachable than before.
#
# Boots: suspended, scalable
# Order: first
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/fio.sh"

grep -q mem /sys/power/state 2> /dev/null || ktap_skip_all "this kernel cannot suspend to memory"
command -v host > /dev/null || ktap_skip_all "no host is there to wake the machine"
disks=${VTD_DISKS:-}
[ -n "$disks" ] || ktap_skip_all "VTD_DISKS names no disk that may be overwritten"
victim=$(attackers | head -n1)
[ -n "$victim" ] || ktap_skip_all "neither edu nor iommu-testdev is there"

sleep_and_wake() {
	host wake-later || return 1
	echo mem > /sys/power/state
}

disks_work() {
	for bdf in $disks; do disk_io "$bdf" || return 1; done
}

lands() {
	attack "$victim" allowed-write && [ "$(attack_word landed)" = 1 ] || { echo "$attacked"; return 1; }
}

refused() {
	attack "$victim" "$1" && [ "$(attack_word landed)$(attack_word intact)" = 01 ] ||
		{ echo "$attacked"; return 1; }
}

# each FUNCTION: runs it for every disk, by name.
each() {
	for bdf in $disks; do
		"$1" "$(block_device "$bdf")" || return 1
	done
}

# A unit that failed after an injected error: it has only the devices that are attacked with,
# because other drivers would report for minutes that their devices are blocked.
fail_unit() {
	need_no_vtd && insmod "$VTD_KO" test_hooks=1 && insmod "$VTD_TEST_MODULES/vtd_devices.ko" &&
		insmod "$VTD_TEST_MODULES/vtd_attack.ko" && lands || return 1
	failed=$(unit_of "$victim")
	echo "$failed invalid-descriptor" > /sys/kernel/vtd/inject_error
	is_blocked
}

is_blocked() {
	attack "$victim" allowed-write && [ "$(attack_word landed)" = 0 ] || { echo "$attacked"; return 1; }
}

ktap_start 21
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
payload $((8 << 20))
log_start
ktap_check "before: disks work" disks_work
mark "suspend begin"
ktap_check "the machine suspends and resumes" sleep_and_wake
mark "suspend end"
ktap_check "after: disks work" disks_work
ktap_check "after: $victim reaches what is mapped for it" lands
ktap_check "after: a page never mapped is refused" refused never-mapped
ktap_check "after: a page unmapped is refused" refused unmapped
ktap_check "after: faults are reported" log_has "fault: .*$victim|Request device \[$victim"
if fio_is_there; then
	ktap_check "disks are in use" each fio_starts
	mark "suspend in use begin"
	ktap_check "in use: the machine suspends and resumes" sleep_and_wake
	ktap_check "in use: their work continues" each fio_goes_on
	mark "suspend in use end"
	ktap_check "in use: it suspends and resumes again, and the work continues" \
		eval 'sleep_and_wake && each fio_goes_on'
	ktap_check "in use: no byte was lost" each fio_ends
else
	for what in "start" "sleep" "continue" "sleep again" "lose nothing"; do
		ktap_skip "disks in use $what" "there is no fio"
	done
fi
ktap_check "it suspends and resumes again" eval 'sleep_and_wake && disks_work'
if [ "$VTD_KO" != none ]; then
	ktap_check "after the resumes the driver unloads" need_no_vtd
	ktap_check "without it the machine suspends, resumes, and disks work" \
		eval 'load_drivers && sleep_and_wake && disks_work'
	ktap_check "a unit fails" fail_unit
	ktap_check "failed unit: the machine suspends and resumes" sleep_and_wake
	ktap_check "failed unit: devices are blocked as before" is_blocked
	ktap_check "failed unit: the log says so" log_has "$failed: failed before suspend and stays failed"
	ktap_check "failed unit: a freshly loaded driver works" eval 'need_no_vtd && need_vtd && disks_work && lands'
else
	for what in "unloads" "sleeps without it" "fails" "sleeps" "is blocked" "says so" "is fresh"; do
		ktap_skip "$what" "errors can be injected only into vtd, and only it can be unloaded"
	done
fi
ktap_check "no kernel warning" log_is_clean
ktap_end
