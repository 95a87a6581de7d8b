#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Units that are left out: because no device exists that they could serve, because the user
# requests it, or because graphics do not work behind them. Their devices are behind no unit, and
# given to no user. Also what else chipsets need: identity domains, and a write buffer that is
# flushed. Functions are disguised as those of the chipsets.
#
# Boots: several-units, no-translation
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"
. "$(dirname "$0")/lib/disguise.sh"

[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver leaves units out by itself"
if [ "$(cmdline guest.units)" = none ]; then
	ktap_start 2
	mark "refusal unit begin"
	ktap_check "a unit that translates nothing is left out: refused, as it is the only one" \
		is_refused "not loaded: all remapping units are left out"
	mark "refusal unit end"
	ktap_check "the log says why" log_has "$(unit_at "$(firmware_units)"): the unit is left out: it walks no second-stage tables"
	ktap_end
fi
[ "$(cmdline guest.units)" = several ] || ktap_skip_all "firmware's units are not those of this test"
need_memory
FREE=$(memory 0x8000)
EDU=0000:41:00.0 TESTDEV=0000:00:06.0 NIC=0000:00:03.0
ABSENT_UNIT=0xfed92000 EDU_UNIT=0xfed93000 UNIT=0xfed90000
# Their names.
absent=$(unit_at $ABSENT_UNIT) edus=$(unit_at $EDU_UNIT)
DISPLAY=030000

# is_behind_no_unit: edu is behind no unit and reaches all of memory.
is_behind_no_unit() {
	is_listed_behind_none "$EDU" && lands "$EDU" "$FREE"
}

# left_out REASON: the log says that the unit for edu is left out.
left_out() {
	log_has "vtd: $edus: the unit at $EDU_UNIT is left out: $1" && is_behind_no_unit &&
		is_served "$TESTDEV" && ! all_units | grep -x "$edus"
}

loads_and_leaves_out() {
	reason=$1
	shift
	log_start
	load_vtd "$@" || return 1
	left_out "$reason"
	left_out=$?
	leaves && return $left_out
}

comes_back_behind_none() {
	log_start
	echo 1 > "$PCI/$EDU/remove"
	! grep "$EDU" /sys/kernel/vtd/users || return 1
	echo 1 > /sys/bus/pci/rescan
	is_behind_no_unit
}

# Its driver does DMA with physical addresses, and continues to.
is_driven_during_load() {
	insmod "$VTD_TEST_MODULES/vtd_devices.ko" && insmod "$VTD_TEST_MODULES/vtd_attack.ko" || return 1
	for bdf in $(attackers); do [ "$bdf" = $EDU ] || unbind "$bdf"; done
	load_vtd ignore=$EDU_UNIT || return 1
	driver=$(sed -n "s/^$EDU -1 \(.*\) no-unit$/\1/p" /sys/kernel/vtd/users)
	attack "$EDU" allowed-write
	leaves && rmmod vtd_attack && rmmod vtd_devices && [ "$driver" = vtd_attack ] &&
		[ "$(attack_word landed)" = 1 ] || { echo "driver $driver, $attacked"; return 1; }
}

# type_of BDF AS...: reads the type of its group while functions are disguised.
type_of() {
	of=$1
	shift
	disguised "$@" && load_vtd ignore=$EDU_UNIT || return 1
	type=$(group_type "$of")
}

ends() {
	leaves && undisguised
}

gets_identity() {
	log_start
	wanted=$1
	shift
	type_of "$TESTDEV" "$@" && [ "$type" = identity ] && is_now "$TESTDEV" identity &&
		log_has "vtd: $(unit_at $UNIT): $TESTDEV: identity domain by default: $wanted" && lands "$TESTDEV" "$FREE"
}

other_type() {
	set_type "$TESTDEV" DMA && refused "$TESTDEV" "$FREE" && set_type "$TESTDEV" identity
}

no_other_type() {
	! echo DMA 2> /dev/null > "$PCI/$TESTDEV/iommu_group/type" && [ "$(group_type "$TESTDEV")" = identity ]
}

flushes_write_buffer() {
	log_start
	disguised $HOST_BRIDGE/8086:2a40/060000 && load_vtd ignore=$EDU_UNIT || return 1
	log_has "vtd: $HOST_BRIDGE: the write buffers .* are flushed" && load_drivers || return 1
	mark "chipset map begin"
	attack "$TESTDEV" allowed-write
	mark "chipset map end"
	[ "$(attack_word landed)" = 1 ] || { echo "$attacked"; return 1; }
	unload_drivers
}

# ironlake_loads BYTE TYPE: loads with lazy=1 and this upper byte of GGC, which is at 0x52. Its bit
# 3 (\010) says that firmware has reserved a shadow table. The group's type is TYPE.
ironlake_loads() {
	log_start
	printf '%b' "$1" | dd of="$PCI/$HOST_BRIDGE/config" bs=1 seek=83 conv=notrunc 2> /dev/null
	disguised $HOST_BRIDGE/8086:0040/060000 && load_vtd ignore=$EDU_UNIT lazy=1 || return 1
	type=$(group_type "$TESTDEV")
	ends && [ "$type" = "$2" ] || { echo "the group's type is $type, not $2"; return 1; }
}

is_strict() {
	ironlake_loads '\0010' DMA && log_has "vtd: $HOST_BRIDGE: .*flushes are not deferred"
}

is_lazy() {
	ironlake_loads '\0000' DMA-FQ && ! log_since | grep "not deferred"
}

engine_is_behind_none() {
	log_start
	disguised $TESTDEV/8086:402f/088000 && load_vtd ignore=$EDU_UNIT || return 1
	log_has "vtd: $TESTDEV: firmware lists it behind the wrong unit" && is_listed_behind_none "$TESTDEV"
	behind_none=$?
	ends && return $behind_none
}

ktap_start 33
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
log_start

# --- no device behind it ---
mark "refusal unit begin"
ktap_check "a unit that does not answer, and has a device: refused" \
	is_refused "vtd: $edus: no unit answers at $EDU_UNIT"
mark "refusal unit end"
ktap_check "a unit that has no device is left out" \
	log_has "$absent: the unit at $ABSENT_UNIT is left out: none of the devices .* exists"

# --- the user's choice ---
for wrong in 0xfed94000 fed93000 "graphics," screen; do
	ktap_check "ignore=$wrong: refused" is_refused "vtd: not loaded: ignore=" ignore=$wrong
done
ktap_check "ignore= of all units: refused" \
	is_refused "not loaded: all remapping units are left out" \
	ignore="$(firmware_units | grep -v $ABSENT_UNIT | paste -sd,)"
ktap_check "ignore=graphics where no unit serves only graphics: no effect" \
	is_refused "vtd: $edus: no unit answers" ignore=graphics
log_start
ktap_check "ignore= by address: the driver loads" load_vtd ignore=$EDU_UNIT
ktap_check "its device is behind no unit, other devices are served" left_out "ignore= names it"
ktap_check "the summary counts it" log_has "vtd: 1 device.* are behind no unit"
ktap_check "it cannot be given to a user" is_no_users "$EDU"
ktap_check "removed and rescanned, it is still behind no unit" comes_back_behind_none
ktap_check "the driver unloads" leaves
ktap_check "a load is not refused for its driver, which keeps working" is_driven_during_load
ktap_check "ignore= twice, in capitals" loads_and_leaves_out "ignore= names it" ignore=0XFED93000,$EDU_UNIT

# --- graphics ---
ktap_check "graphics without a quirk: refused" \
	while_disguised "$EDU/8086:3e92/$DISPLAY" is_refused "$edus: no unit answers"
ktap_check "ignore=graphics leaves its unit out" while_disguised "$EDU/8086:3e92/$DISPLAY" \
	loads_and_leaves_out "it serves only graphics, and ignore=graphics" ignore=graphics
mark "chipset graphics begin"
ktap_check "graphics that malfunction: their unit is left out" \
	while_disguised "$EDU/1234:1111/$DISPLAY $HOST_BRIDGE/8086:2a40/060000" loads_and_leaves_out \
	"it serves only graphics. $HOST_BRIDGE: graphics of the 4 series chipsets malfunction"
mark "chipset graphics end"
ktap_check "not for another vendor's graphics, nor for a device below a port" \
	while_disguised "$EDU/8086:1616/$DISPLAY $HOST_BRIDGE/1234:2a40/060000" \
	is_refused "$edus: no unit answers"

# --- identity ---
ktap_check "integrated graphics get an identity domain, as this kernel is configured" \
	gets_identity "integrated graphics" $TESTDEV/8086:3e92/$DISPLAY
ktap_check "the type can be changed" other_type
ktap_check "a load without integrated graphics gives no identity domain" eval 'ends && load_vtd ignore=$EDU_UNIT && is_served "$TESTDEV" && leaves'
ktap_check "sound behind a unit without IOTLB entries gets an identity domain" \
	gets_identity "the isochronous unit has no" $TESTDEV/8086:3a3e/040300 $NIC/8086:342e/088000
ktap_check "the type cannot be changed" no_other_type
ktap_check "the driver unloads" ends
ktap_check "without the registers that say so the device is translated" eval \
	'type_of "$TESTDEV" $TESTDEV/8086:3a3e/040300 && [ "$type" = DMA ]'
ends

# --- others ---
mark "chipset flush begin"
ktap_check "a write buffer that CAP does not name is flushed" flushes_write_buffer
ktap_check "the driver unloads again" ends
mark "chipset flush end"
ktap_check "Ironlake: strict if firmware set a shadow table aside" is_strict
ktap_check "Ironlake: lazy, as requested, if it set none aside" is_lazy
ktap_check "a DMA engine that firmware lists behind the wrong unit is behind none" engine_is_behind_none
ktap_check "no kernel warning" dmesg_is_clean
ktap_end
