#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Unmapped memory is out of reach when the unmap returns, unless the user chose lazy mode; then the
# log says what that costs. On a kernel whose own default is to defer flushes.
#
# Boots: isolation*
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"

COST="before the next flush .*can still reach"
bdf=$(pci_by_id 0x1b36:0x0005 | head -n1)
[ -n "$bdf" ] || ktap_skip_all "iommu-testdev is not there"
outside=
for pci_dev in $(pci_by_id 0x1b36:0x0005); do
	[ "$(cat "$PCI/$pci_dev/removable" 2>/dev/null)" != removable ] || outside=$pci_dev
done

# Behind another external-facing port, one without access control.
shared=
for pci_dev in $(pci_by_id 0x1234:0x11e8); do
	[ "$(cat "$PCI/$pci_dev/removable" 2>/dev/null)" != removable ] || shared=$pci_dev
done
sharing=$(basename "$(dirname "$(readlink -f "$PCI/$shared")")")

tainted() {
	grep -q user-taint=1 $OWNER || { cat $OWNER; return 1; }
}

all_of_type() {
	bad=0
	for group in /sys/kernel/iommu_groups/*; do
		[ "$(cat "$group/type")" = "$1" ] ||
			{ echo "group ${group##*/} is $(cat "$group/type")"; bad=1; }
	done
	return $bad
}

# window BDF: one attack on a page just unmapped, until it is refused.
window() {
	mark "strict window $1 $2 begin"
	attack "$1" window || { mark "strict window $1 $2 end"; return 1; }
	mark "strict window $1 $2 end"
	say "window bdf=$1 policy=$2 hits=$(attack_word hits) last-us=$(attack_word last-us)"
	echo "$attacked"
	[ "$(attack_word warm)$(attack_word error)" = 10 ]
}

# has_no_window BDF NAME: in five attacks no write lands.
has_no_window() {
	for round in 1 2 3 4 5; do
		window "$1" "$2" && [ "$(attack_word hits)" = 0 ] || return 1
	done
}

# has_window BDF NAME: writes land, for a while; sets longest to the longest time.
has_window() {
	longest=0
	for round in 1 2 3 4 5 6 7 8; do
		window "$1" "$2" || return 1
		[ "$(attack_word last-us)" -le $longest ] || longest=$(attack_word last-us)
	done
	[ $longest -gt 0 ] && [ $longest -lt 500000 ] || { echo "the longest is $longest us"; return 1; }
}

# Only one of the two is untrusted.
strict_together() {
	[ -n "$(group_of "$shared")" ] && [ "$(group_of "$sharing")" = "$(group_of "$shared")" ] &&
		[ "$(cat "$PCI/$sharing/removable" 2> /dev/null)" != removable ] ||
		{ echo "$sharing and $shared are no group of which one is trusted"; return 1; }
	[ "$(group_type "$shared")" = DMA ] || { echo "their group is $(group_type "$shared")"; return 1; }
}

quiet() {
	! log_since | grep -i 'vtd: .*deferred'
}

announced() {
	log_has "vtd: .*deferred.*$COST" && [ "$(log_since | grep -c "$COST")" = 1 ]
}

as_type() {
	unbind "$1"
	set_type "$1" "$2" && bind "$1" vtd_attack
}

ktap_start 25
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
log_start
ktap_check "this kernel was built with lazy mode as its default" \
	eval 'dmesg | grep "TLB invalidation policy: lazy"'
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"

load_owner
ktap_check "by default: every group is strict" all_of_type DMA
ktap_check "by default: a page just unmapped cannot be reached" has_no_window "$bdf" strict
ktap_check "by default: the log does not mention deferred flushes" quiet
ktap_check "by default: the kernel is not tainted" eval '! tainted > /dev/null'

log_start
ktap_check "sysfs: a group is set to DMA-FQ" as_type "$bdf" DMA-FQ
ktap_check "sysfs: a page just unmapped can be reached for a while" has_window "$bdf" sysfs
echo "# DMA-FQ by sysfs: reached for up to $longest us after the unmap"
ktap_check "sysfs: one log line says what it costs" announced
ktap_check "sysfs: and names the device" log_has "vtd: .*$bdf.*deferred"
ktap_check "sysfs: the kernel is not tainted, because memory is held" eval '! tainted > /dev/null'
other=$(pci_by_id 0x1b36:0x0005 | grep -v "^$bdf$" | head -n1)
ktap_check "sysfs: another group stays strict" has_no_window "$other" other
ktap_check "sysfs: the group is set back to DMA" as_type "$bdf" DMA
ktap_check "sysfs: and is strict again" has_no_window "$bdf" back

if [ "$VTD_KO" = none ]; then
	ktap_skip_rest "the kernel's own driver has no parameter"
fi
need_no_vtd > /tmp/need 2>&1 && insmod "$VTD_KO" lazy=0 && load_drivers ||
	ktap_abort "the module does not load with lazy=0"
ktap_check "lazy=0: strict" eval 'all_of_type DMA && has_no_window "$bdf" lazy-0'
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded: $(cat /tmp/need)"
log_start
insmod "$VTD_KO" lazy=1 && load_drivers || ktap_abort "the module does not load with lazy=1"
ktap_check "lazy=1: a trusted device's group is DMA-FQ" test "$(group_type "$bdf")" = DMA-FQ
ktap_check "lazy=1: a page just unmapped can be reached for a while" has_window "$bdf" lazy-1
echo "# lazy=1: reached for up to $longest us after the unmap"
ktap_check "lazy=1: the log says what it costs" log_has "vtd: .*deferred.*$COST"
if [ -n "$outside" ]; then
	ktap_check "lazy=1: a device behind an external-facing port is strict" \
		test "$(group_type "$outside")" = DMA
	ktap_check "lazy=1: it reaches nothing just unmapped" has_no_window "$outside" outside
	# The core consults neither the driver nor the device's trust when it makes a group lazy.
	log_start
	echo DMA-FQ > "$PCI/$outside/iommu_group/type" 2> /dev/null
	ktap_check "lazy=1: it reaches nothing just unmapped after a user has chosen DMA-FQ for it" has_no_window "$outside" outside-chosen
	ktap_check "lazy=1: the log says so" eval '[ "$(group_type "$outside")" = DMA ] ||
		log_has "vtd: .*$outside.*not trusted.*stays strict"'
else
	for what in "is strict" "reaches nothing" "cannot be made lazy" "is logged"; do
		ktap_skip "lazy=1: a device behind an external-facing port $what" "there is none"
	done
fi
if [ -n "$shared" ]; then
	ktap_check "lazy=1: a port that shares its group with such a device is strict with it" strict_together
	ktap_check "lazy=1: nothing just unmapped is reached there, either" has_no_window "$shared" shared
else
	for what in "is strict with it" "reaches nothing"; do
		ktap_skip "lazy=1: a group of a port and an external device $what" "there is none"
	done
fi
need_no_vtd > /tmp/need 2>&1
ktap_check "loaded again without a choice: strict" eval 'need_vtd && has_no_window "$bdf" again'
rmmod vtd_owner
ktap_check "no kernel warning" log_is_clean
ktap_end
