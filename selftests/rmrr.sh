#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# rmrr=relax:DEVICE: a user gets a device for which firmware reserves memory. While the user has it
# the device does not reach that memory; at all other times it does, as without the parameter.
#
# Boots: isolation
# Order: last
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"
. "$(dirname "$0")/lib/vfio_users.sh"

need_memory
DIRECT=0000:00:0d.0
FREE_OF_RMRR=0000:00:06.0
ABSENT=0000:00:1e.7
REGION=$(memory 0)
LAST_PAGE=$(memory 0x3000)
FREE=$(memory 0x8000)
[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver has no parameter rmrr"
[ -e "$PCI/$DIRECT" ] && [ -e "$PCI/$FREE_OF_RMRR" ] ||
	ktap_skip_all "this is not the machine whose firmware reserves memory"

# not_loaded VALUE: the load fails, and the log names the word that is wrong.
not_loaded() {
	log_start
	if insmod "$VTD_KO" "rmrr=$1" 2> /dev/null; then
		rmmod vtd
		echo "it was loaded"
		return 1
	fi
	log_has "vtd: not loaded: rmrr=$2 is not"
}

only_region() {
	lands $DIRECT "$REGION" && lands $DIRECT "$LAST_PAGE" && refused $DIRECT "$FREE"
}

region_is() {
	grep -qx "0x0*${REGION#0x} 0x0*$(printf '%x' $((REGION + 0x3fff))) $1" \
		"$PCI/$DIRECT/iommu_group/reserved_regions" ||
		{ cat "$PCI/$DIRECT/iommu_group/reserved_regions"; return 1; }
}

tainted() {
	grep -q user-taint=1 $OWNER || { cat $OWNER; return 1; }
}

given() {
	"$CLAIM" "$1" $DIRECT < /dev/null
}

ktap_start 21
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
load_owner
ktap_check "a word without relax: is refused by name" not_loaded $DIRECT $DIRECT
ktap_check "a device that is not one is refused by name" \
	not_loaded "relax:$DIRECT,relax:0d.0" relax:0d.0
log_start
ktap_check "the module loads" insmod "$VTD_KO" "rmrr=relax:$DIRECT,relax:$FREE_OF_RMRR,relax:$ABSENT"
ktap_check "the log names the device, its region and what it costs" \
	log_has "$DIRECT .*can be given to a user although firmware uses $REGION to"
ktap_check "the log says where the parameter changes nothing" \
	log_has "$FREE_OF_RMRR.*: rmrr= changes nothing"
ktap_check "the log names the device that is not there" \
	log_has "rmrr=relax:$ABSENT: there is no such device"
ktap_check "the kernel is tainted by its user" tainted
ktap_check "the region is listed as relaxable" region_is direct-relaxable
ktap_check "without a driver: it reaches its region and nothing else" only_region

ktap_check "it can be bound to vfio-pci" give_to_user $DIRECT
ktap_check "VFIO's container gives it to a user" given type1
ktap_check "iommufd gives it to a user" given iommufd
take_back $DIRECT
ktap_check "returned: it reaches its region and nothing else" only_region
ktap_check "a user claims it" ask claim $DIRECT a
ktap_check "claimed: it reaches nothing, not even its region" \
	eval 'is_now $DIRECT blocked && refused $DIRECT "$REGION" && refused $DIRECT "$FREE"'
ktap_check "the claim is released" eval 'ask release $DIRECT && is_now $DIRECT DMA'
ktap_check "released: it reaches its region and nothing else" only_region
rmmod vtd_owner

ktap_check "the module is unloaded" need_no_vtd
ktap_check "if only another device is named, the region is direct again" \
	eval 'load_vtd rmrr=relax:$FREE_OF_RMRR && region_is direct'
load_owner
ktap_check "if only another device is named, a claim is refused" refuses "$EINVAL" claim $DIRECT a
rmmod vtd_owner
log_start
ktap_check "no kernel warning" dmesg_is_clean
ktap_end
