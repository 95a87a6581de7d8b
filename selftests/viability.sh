#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Devices that a unit cannot distinguish belong all to the kernel or all to one user: edu and
# iommu-testdev behind a conventional bridge. When a claim is refused, the log says why: which
# sibling, which driver, what to do.
#
# Boots: users
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/vfio_users.sh"

EPERM=1

# the device of this id that shares its group with another one
grouped() {
	for found in $(pci_by_id "$1"); do
		[ "$(cat "$PCI/$found/iommu_group/devices/"*/vendor | wc -l)" -gt 2 ] &&
			{ echo "$found"; return; }
	done
}

# is_refused MODE [ERRNO]
is_refused() {
	! "$CLAIM" "$1" "$testdev" < /dev/null > /tmp/claimed 2>&1 || { echo "it was given"; return 1; }
	grep "^refused ${2-}" /tmp/claimed || { cat /tmp/claimed; return 1; }
}

is_taken() {
	"$CLAIM" "$1" "$testdev" < /dev/null
}

is_explained() {
	log_has "vtd: .*group [0-9]+: $testdev cannot be given to a user: $edu .*driven by vtd_attack.*/sys/bus/pci/drivers/vtd_attack/unbind"
}

kernel_driver_is_kept_off() {
	echo "$edu" > /sys/bus/pci/drivers_probe 2> /dev/null
	[ "$(driver_of "$edu")" = none ] || { driver_of "$edu"; return 1; }
}


# Removes the other device and rescans while a user has this one.
joins() {
	echo 1 > "$PCI/$edu/remove"
	[ ! -e "$PCI/$edu" ] || return 1
	echo 1 > /sys/bus/pci/rescan
	[ -e "$PCI/$edu" ] || { echo "$edu did not come back"; return 1; }
	[ "$(readlink -f "$PCI/$edu/iommu_group")" = "$(readlink -f "$PCI/$testdev/iommu_group")" ] ||
		{ echo "it is in another group now"; return 1; }
	kernel_driver_is_kept_off
}

dies() {
	kill -9 "$holder"
	exec 7>&-
	wait "$holder" 2> /dev/null
	rm -f /tmp/held
	is_taken type1
}

kernel_has_it_back() {
	take_back "$testdev"
	for bdf in "$edu" "$testdev"; do
		echo "$bdf" > /sys/bus/pci/drivers_probe
		attack "$bdf" allowed-write && [ "$(attack_word landed)" = 1 ] ||
			{ echo "$bdf: $attacked"; return 1; }
	done
}

need_vtd > /tmp/need 2>&1 || { ktap_start 1; ktap_abort "the module does not load: $(cat /tmp/need)"; }
edu=$(grouped 0x1234:0x11e8)
testdev=$(grouped 0x1b36:0x0005)
[ -n "$edu" ] && [ -n "$testdev" ] || ktap_skip_all "edu and iommu-testdev share no group"
[ -x "$CLAIM" ] || ktap_skip_all "vfio_claim was not built"

ktap_start 21
log_start
ktap_check "vfio-pci binds to one of two" give_to_user "$testdev"
if [ "$VTD_KO" = none ]; then
	ktap_skip "the log names the device that prevents it" "the kernel's own driver does not"
else
	ktap_check "the log names the device that prevents it" is_explained
fi
ktap_check "type1: a claim is refused while the kernel drives the other" is_refused type1 $EPERM
sleep 1.1
log_start
ktap_check "iommufd: refused as well" is_refused iommufd $EPERM
if [ "$VTD_KO" = none ]; then
	ktap_skip "iommufd: the log names the device that prevents it" "the kernel's own driver does not"
else
	ktap_check "iommufd: the log names the device that prevents it" is_explained
fi
ktap_check "the other device still works for the kernel" \
	eval 'attack "$edu" allowed-write && [ "$(attack_word landed)" = 1 ]'
echo "$edu" > "$PCI/$edu/driver/unbind"
log_start
for mode in type1 iommufd; do
	ktap_check "$mode: given once the other has no driver" is_taken $mode
	ktap_check "$mode: given again afterwards" hold $mode "$testdev"
	ktap_check "$mode: no kernel driver gets the other in the meantime" kernel_driver_is_kept_off
	ktap_check "$mode: no second user gets it" is_refused $mode
	ktap_check "$mode: no user gets it when it joins the group again" joins
	release_user
done
ktap_check "a user claims it" hold iommufd "$testdev"
ktap_check "a user that is killed gives it back" dies
ktap_check "no refusal, no explanation in the log" \
	eval '! log_since | grep "cannot be given"'
ktap_check "both return to the kernel and work" kernel_has_it_back
ktap_check "no kernel warning" log_is_clean
ktap_end
