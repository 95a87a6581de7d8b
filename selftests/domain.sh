#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Unmanaged domains as VFIO uses them: every page size, the end of the aperture, requests that
# are refused, two devices in one domain. The device's own DMA is the witness.
#
# Boots: raced, ordinary, client, races, scalable, first-stage
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"

RUN=/sys/kernel/debug/vtd_domain/run
SCENARIOS="map-4k map-2m map-1g map-mixed across-1g resize occupied width read-only blocked second-owner shared churn oracle threads"
# With a device behind each of two units; "shared" and "churn" have both in one domain.
OF_TWO_UNITS="shared churn"

plays() {
	mark "domain $1 begin"
	echo "$1" > $RUN || { echo "vtd_domain does not know $1"; return 1; }
	mark "domain $1 end"
	cat $RUN
	[ "$(cut -d: -f1 $RUN)" = ok ]
}

# play WHERE SCENARIO: one result.
play() {
	if plays "$2" > /tmp/plays 2>&1; then
		sed -n 's/^ok: //p' /tmp/plays | ktap_note
		ktap_pass "$1$2"
	elif grep -q '^skip: ' /tmp/plays; then
		ktap_skip "$1$2" "$(sed -n 's/^skip: //p' /tmp/plays)"
	else
		ktap_fail "$1$2" "$(cat /tmp/plays)"
	fi
}

# widths BDF: prints which widths of tables the device's unit walks (CAP.SAGAW).
widths() {
	echo $((0x$(cat "$PCI/$1/iommu/intel-iommu/cap") >> 8 & 0x1f))
}

# pair: prints two devices behind different units, separated by a comma; nothing if there are none.
# The domain is allocated for the first, which must not be behind the wider unit.
pair() {
	first=$(attackers | head -n1)
	for bdf in $(attackers); do
		[ "$(unit_of "$bdf")" != "$(unit_of "$first")" ] || continue
		if [ "$(widths "$bdf")" -lt "$(widths "$first")" ]; then echo "$bdf,$first"; else echo "$first,$bdf"; fi
		return
	done
}

[ "$(attackers | wc -l)" -ge 2 ] || ktap_skip_all "edu and iommu-testdev are not both there"
# shellcheck disable=SC2086
set -- $SCENARIOS
ktap_start $(($# + 3 + $(echo $OF_TWO_UNITS | wc -w)))
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
log_start
rmmod vtd_attack
ktap_check "vtd_domain loads" insmod "$VTD_TEST_MODULES/vtd_domain.ko"
for scenario in $SCENARIOS; do
	play "" "$scenario"
done
two=$(pair)
[ -z "$two" ] || { rmmod vtd_domain; insmod "$VTD_TEST_MODULES/vtd_domain.ko" devices="$two"; }
for scenario in $OF_TWO_UNITS; do
	if [ -n "$two" ]; then
		play "devices of two units: " "$scenario"
	else
		ktap_skip "devices of two units: $scenario" "all devices to attack with are behind one unit"
	fi
done
back_to_default() {
	rmmod vtd_domain && load_drivers || return 1
	for bdf in $(attackers); do
		attack "$bdf" allowed-write && [ "$(attack_word landed)" = 1 ] ||
			{ echo "$bdf: $attacked"; return 1; }
	done
}
ktap_check "afterwards the default domain serves the devices again" back_to_default
ktap_check "no kernel warning" log_is_clean
ktap_end
