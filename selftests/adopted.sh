#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Devices that stay in pass-through (bound=1), and the devices next to them. A device with the
# same requester ID stays in pass-through with it. A device that cannot be isolated from it is
# given to no user. A removed device reaches nothing. One of the devices is behind a PCIe-to-PCI
# bridge together with another device, one behind a switch without isolation.
#
# Boots: isolation*
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"

need_memory
BRIDGE=0000:00:09.0
SWITCH=0000:00:10.0
ALONE=0000:00:06.0
FREE=$(memory 0x8000)
[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver adopts nothing"

# below BDF: the test devices below it, at any depth.
below() {
	for bdf in $(attackers); do
		case $(readlink -f "$PCI/$bdf") in
		*/"$1"/*) echo "$bdf" ;;
		esac
	done
}

# shellcheck disable=SC2046
set -- $(below $BRIDGE) $(below $SWITCH)
[ $# = 4 ] || ktap_skip_all "no bridge at $BRIDGE and no switch at $SWITCH with two devices each"
HERE=$1 TWIN=$2 FAR=$3 NEIGHBOUR=$4

listed() {
	grep -q "^$1 -1 $2 untranslated$" /sys/kernel/vtd/users || { cat /sys/kernel/vtd/users; return 1; }
}

# Only the two devices that are to stay in pass-through have a driver.
two_are_driven() {
	insmod "$VTD_TEST_MODULES/vtd_devices.ko" && insmod "$VTD_TEST_MODULES/vtd_attack.ko" || return 1
	for bdf in $(attackers); do
		case $bdf in
		"$HERE" | "$FAR") ;;
		*) unbind "$bdf" ;;
		esac
	done
}

# user_has BDF: claims it, attaches a user's domain to it, and releases the claim.
user_has() {
	ask claim "$1" a && ask new a "$1" || return 1
	ask attach a "$1"
	had=$?
	[ $had != 0 ] || ask detach a "$1"
	ask free a && ask release "$1"
	return $had
}

is_no_users() {
	! user_has "$1" > /tmp/why 2>&1 || { echo "it was given"; return 1; }
	grep -q "$EBUSY" /tmp/why || { cat /tmp/why; return 1; }
}

# The registers stay mapped after the kernel has removed the device.
removed_reaches_nothing() {
	base=$(cut -d' ' -f1 "$PCI/$FAR/resource" | head -n1)
	unbind "$FAR"
	lands "$FAR" "$FREE" || return 1
	echo 1 > "$PCI/$FAR/remove"
	! grep "$FAR" /sys/kernel/vtd/users && refused "edu@$base" "$FREE"
}

found_again() {
	for bdf in "$HERE" "$TWIN"; do echo 1 > "$PCI/$bdf/remove"; done
	echo 1 > /sys/bus/pci/rescan
	for bdf in "$HERE" "$TWIN" "$FAR"; do
		[ "$(group_type "$bdf")" = DMA ] && refused "$bdf" "$FREE" || return 1
		attack "$bdf" allowed-write && [ "$(attack_word landed)" = 1 ] || { echo "$attacked"; return 1; }
	done
}

ktap_start 15
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
load_owner && two_are_driven || ktap_abort "the devices do not get their drivers"
log_start
ktap_check "the driver loads while two devices have drivers" insmod "$VTD_KO" bound=1
ktap_check "both are listed" eval 'listed "$HERE" vtd_attack && listed "$FAR" vtd_attack'
ktap_check "both reach all of memory, as before" eval 'lands "$HERE" "$FREE" && lands "$FAR" "$FREE"'
ktap_check "a device with the same requester ID is listed, too" listed "$TWIN" -
ktap_check "the log says so" log_has "vtd: $TWIN: .*requester ID of $HERE"
ktap_check "the device is in no group" test ! -e "$PCI/$TWIN/iommu_group"
ktap_check "it cannot be given to a user" refuses "No such device" claim "$TWIN" a
ktap_check "a device below the same bridges is translated" refused "$NEIGHBOUR" "$FREE"
ktap_check "the device below the same bridges cannot be given to a user" is_no_users "$NEIGHBOUR"
# The core claims the bridges first, which are in its group.
ktap_check "the log says so of its group" \
	log_has "vtd: .* cannot be given to a user while $FAR,.*is in pass-through"
ktap_check "a device elsewhere can be given to a user" user_has $ALONE
ktap_check "removed, a device that was in pass-through reaches nothing" removed_reaches_nothing
ktap_check "then the other device can be given to a user" user_has "$NEIGHBOUR"
ktap_check "rescanned, all are translated" found_again
rmmod vtd_owner
need_no_vtd > /tmp/need 2>&1
ktap_check "no kernel warning, and the driver unloads" eval '! vtd_is_loaded && dmesg_is_clean'
ktap_end
