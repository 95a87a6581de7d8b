#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# A requester reaches no memory that was not mapped for it, be it a device without a driver or a
# requester ID without a device. Regions that firmware reserves for a device are reported, and the
# device reaches them in every state it can be brought into.
#
# Boots: isolation*
# Order: first
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"
. "$(dirname "$0")/lib/vfio_users.sh"

need_memory
DIRECT=0000:00:0d.0
RELAXED=0000:00:0c.0
REGION=$(memory 0)
REGION_LAST_PAGE=$(memory 0x3000)
AFTER=$(memory 0x4000)
FREE=$(memory 0x8000)
# Segment, group and kind are in the kernel's form.
region_of() {
	cat "$PCI/$1/iommu_group/reserved_regions"
}

lists() {
	region_of "$1" | grep -qx "$2" || { echo "no line like $2 in:"; region_of "$1"; return 1; }
}

all_list_msi() {
	for group in /sys/kernel/iommu_groups/*; do
		grep -q '^0x00000000fee00000 0x00000000feefffff msi$' "$group/reserved_regions" ||
			{ echo "group ${group##*/} does not"; return 1; }
	done
}

isa_bridge() {
	for pci_dev in "$PCI"/*; do
		case $(cat "$pci_dev/class") in
		0x0601*) echo "${pci_dev##*/}"; return ;;
		esac
	done
}

# only_region BDF: the device reaches all of the region and nothing else.
only_region() {
	lands "$1" "$REGION" && lands "$1" "$REGION_LAST_PAGE" && refused "$1" "$AFTER" &&
		refused "$1" "$FREE"
}

everything() {
	lands "$1" "$REGION" && lands "$1" "$AFTER" && lands "$1" "$FREE"
}

found_again() {
	echo 1 > "$PCI/$1/remove"
	echo 1 > /sys/bus/pci/rescan
	[ -e "$PCI/$1/iommu_group" ]
}

# base_of BDF: prints the address of its registers.
base_of() {
	cut -d' ' -f1 "$PCI/$1/resource" | head -n1
}

driverless=0000:00:06.0
[ -e "$PCI/$DIRECT" ] && [ -e "$PCI/$RELAXED" ] && [ -e "$PCI/$driverless" ] ||
	ktap_skip_all "this is not the machine whose firmware reserves memory"

CLAIM=${VFIO_CLAIM:-$PROGRAMS/vfio_claim}

# given MODE BDF: VFIO gives a user the device, for a moment.
given() {
	"$CLAIM" "$1" "$2" < /dev/null
}

not_given() {
	! given "$1" "$2" > /tmp/given || { echo "it was given"; return 1; }
	grep '^refused' /tmp/given
}

ktap_start 37
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
log_start
insmod "$VTD_KO" || ktap_abort "the module does not load"
load_owner

ktap_check "a device without a driver is in a DMA domain" test "$(group_type $driverless)" = DMA
ktap_check "a device without a driver reaches nothing" refused $driverless "$FREE"
for bdf in $(behind 0000:00:09.0); do
	ktap_check "$bdf behind a bridge reaches nothing" refused "$bdf" "$FREE"
done
log_start
base=$(base_of $driverless)
echo 1 > "$PCI/$driverless/remove"
ktap_check "a requester ID without a device reaches nothing" refused "testdev@$base" "$FREE"
ktap_check "the fault of that requester ID is reported" log_has "fault: .*00:06.0.*reason 0x0?[125]"
echo 1 > /sys/bus/pci/rescan
ktap_check "after a rescan the device reaches nothing" refused $driverless "$FREE"

ktap_check "every group lists the window for interrupts" all_list_msi
# The lab's kernels are built without the floppy driver, which alone uses that window.
ktap_check "an ISA bridge's group lists nothing of low memory" \
	eval '! region_of "$(isa_bridge)" | grep -q direct'
ktap_check "a region that firmware reserves is listed" lists $DIRECT \
	"0x00000000${REGION#0x} 0x0*$(printf '%x' $((REGION + 0x3fff))) direct"
ktap_check "the region of a USB controller is listed as relaxable" lists $RELAXED \
	"0x0*$(printf '%x' $((REGION + 0x10000))) 0x0*$(printf '%x' $((REGION + 0x10fff))) direct-relaxable"
ktap_check "a device that firmware reserves nothing for lists none" \
	eval '! region_of "$driverless" | grep -q direct'

ktap_check "without a driver: it reaches its region and nothing else" only_region $DIRECT
ktap_check "its group becomes identity" set_type $DIRECT identity
ktap_check "identity: it reaches everything" everything $DIRECT
ktap_check "its group becomes DMA again" set_type $DIRECT DMA
ktap_check "DMA again: it reaches its region and nothing else" only_region $DIRECT
load_drivers
ktap_check "with a driver: it reaches its region and nothing else" only_region $DIRECT
driver_works() {
	attack $DIRECT allowed-write && [ "$(attack_word landed)" = 1 ] || { echo "$attacked"; return 1; }
}
ktap_check "with a driver: it reaches what the driver maps" driver_works
unbind $DIRECT
ktap_check "driver unbound: it reaches its region and nothing else" only_region $DIRECT
base=$(base_of $DIRECT)
mark "reserved removed begin"
ktap_check "removed: it reaches nothing, not even its region" \
	eval 'echo 1 > "$PCI/$DIRECT/remove" && refused "testdev@$base" "$FREE" "$FREE" &&
		refused "testdev@$base" "$REGION" "$REGION" && echo 1 > /sys/bus/pci/rescan'
mark "reserved removed end"
ktap_check "rescanned: it reaches its region and nothing else" \
	eval 'found_again $DIRECT && unbind $DIRECT && only_region $DIRECT'

log_start
ktap_check "a user's claim is refused" refuses "$EINVAL" claim $DIRECT a
ktap_check "the core logs why" log_has "$DIRECT: Firmware has requested this device have a 1:1"
ktap_check "claim refused: it reaches its region and nothing else" only_region $DIRECT
log_start
ask new a $DIRECT
ktap_check "a user's domain without a claim is refused" refuses "$EPERM" attach a $DIRECT
ktap_check "the log names the region" \
	log_has "vtd: .*$DIRECT .*$REGION to $(printf '0x%x' $((REGION + 0x3fff))).*RMRR"
ktap_check "domain refused: it reaches its region and nothing else" only_region $DIRECT
ask free a
give_to_user $DIRECT
ktap_check "VFIO's container does not give it to a user" not_given type1 $DIRECT
ktap_check "iommufd does not give it to a user" not_given iommufd $DIRECT
take_back $DIRECT
ktap_check "not given: it reaches its region and nothing else" only_region $DIRECT
give_to_user $RELAXED
ktap_check "a device with a relaxable region is given by VFIO's container" given type1 $RELAXED
ktap_check "a device with a relaxable region is given by iommufd" given iommufd $RELAXED
take_back $RELAXED
ktap_check "a relaxable region does not prevent a claim" ask claim $RELAXED a
ktap_check "claimed: blocked" is_now $RELAXED blocked
ktap_check "the claim is released" eval 'ask release $RELAXED && is_now $RELAXED DMA'
rmmod vtd_owner
log_start
ktap_check "no kernel warning" dmesg_is_clean
ktap_end
