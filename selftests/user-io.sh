#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Devices that a user drives: NVMe and edu driven from user space through VFIO's container and
# through iommufd. Disks named in VTD_DISKS are overwritten.
#
# Boots: caching-mode, users*, races, remapped-races, scalable-caching
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/vfio_users.sh"


disk_again() {
	modprobe nvme
	echo "$nvme" > /sys/bus/pci/drivers_probe 2> /dev/null
	disk_io "$nvme"
}

# hold_while COMMAND: runs it while a user has the disk.
hold_while() {
	mkfifo /tmp/held
	"$PROGRAMS/vfio_claim" iommufd "$nvme" < /tmp/held > /tmp/holder 2>&1 &
	holder=$!
	exec 7> /tmp/held
	for try in $(seq $((10 * PATIENCE))); do
		grep -q taken /tmp/holder && break
		sleep 0.2
	done
	grep taken /tmp/holder && "$@"
	held=$?
	exec 7>&-
	wait "$holder"
	rm -f /tmp/held
	return $held
}

is_pulled() {
	give_to_user "$nvme" && hold_while host unplug-nvme && is_present "$nvme" 0
}

# The slot becomes free some time after the device was removed.
is_put_back() {
	for again in $(seq $((20 * PATIENCE))); do
		host plug-nvme && break
		sleep 0.5
	done
	is_present "$nvme" 1 && disk_again
}

nvme=$(first_nvme)
edu=$(pci_by_id 0x1234:0x11e8 | head -n1)
[ -n "$nvme" ] || ktap_skip_all "VTD_DISKS names no NVMe disk that may be overwritten"
[ -n "$edu" ] || ktap_skip_all "edu is not there"
ktap_start $((2 * (NVME_CLAIMS + EDU_CLAIMS) + 7))
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
log_start
payload $((8 << 20))
ktap_check "the disk is given to vfio-pci" give_to_user "$nvme"
for mode in type1 iommufd; do
	user_claims "nvme, $mode" $NVME_CLAIMS "$PROGRAMS/vfio_nvme" $mode "$nvme"
done
ktap_check "a fault on what the user unmapped is reported for the disk" \
	log_has "vtd: .*fault: .*$nvme.*vfio-pci.*owner user\) write of .*\(unmanaged\); it was unmapped .*[0-9]+ pages from"
take_back "$nvme"
ktap_check "the disk returns to the kernel and works" disk_again
if command -v host > /dev/null; then
	ktap_check "it is pulled out while a user has it, and is removed when the user exits" is_pulled
	ktap_check "plugged in again it works for the kernel" is_put_back
else
	ktap_skip "it is pulled out while a user has it" "no host is there to do it"
	ktap_skip "plugged in again it works for the kernel" "no host is there to do it"
fi
ktap_check "edu is given to vfio-pci" give_to_user "$edu"
for mode in type1 iommufd; do
	user_claims "edu, $mode" $EDU_CLAIMS env STAGE="$(stage_of "$edu")" "$PROGRAMS/vfio_edu" $mode "$edu"
done
take_back "$edu"
echo "$edu" > /sys/bus/pci/drivers_probe
ktap_check "no kernel warning" log_is_clean
ktap_end
