#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Suspend to memory takes the unit's registers away; after it everything is as
# before, and nothing is open that was not.
. "$(dirname "$0")/ktap.sh"
. "$(dirname "$0")/lib.sh"

grep -q mem /sys/power/state 2> /dev/null || ktap_skip_all "this kernel cannot suspend to memory"
command -v host > /dev/null || ktap_skip_all "nobody is there to wake the machine"
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

ktap_start 9
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
payload $((8 << 20))
log_start
ktap_check "before: disks work" disks_work
mark "suspend begin"
ktap_check "the machine sleeps and wakes" sleep_and_wake
mark "suspend end"
ktap_check "after: disks work" disks_work
ktap_check "after: $victim reaches what it is given" lands
ktap_check "after: a page never mapped is refused" refused never-mapped
ktap_check "after: a page unmapped is refused" refused unmapped
ktap_check "after: faults are reported" log_has "fault: .*$victim|Request device \[$victim"
ktap_check "it sleeps and wakes again" eval 'sleep_and_wake && disks_work'
ktap_check "no kernel warning" log_is_clean
ktap_end
