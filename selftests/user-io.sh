#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Devices at work for a user: NVMe and edu driven from user space by way of
# VFIO's container and of iommufd. Disks named in VTD_DISKS are overwritten.
. "$(dirname "$0")/ktap.sh"
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/users.sh"

HERE=$(dirname "$0")
NVME_CLAIMS=13
EDU_CLAIMS=7

first_nvme() {
	for listed in ${VTD_DISKS:-}; do
		[ "$(cat "$PCI/$listed/class")" = 0x010802 ] && { echo "$listed"; return; }
	done
}

disk_again() {
	modprobe nvme
	echo "$nvme" > /sys/bus/pci/drivers_probe 2> /dev/null
	disk_io "$nvme"
}

nvme=$(first_nvme)
edu=$(pci_by_id 0x1234:0x11e8 | head -n1)
[ -n "$nvme" ] || ktap_skip_all "VTD_DISKS names no NVMe disk that may be overwritten"
[ -n "$edu" ] || ktap_skip_all "edu is not there"
ktap_start $((2 * (NVME_CLAIMS + EDU_CLAIMS) + 5))
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
log_start
payload $((8 << 20))
ktap_check "the disk is given to vfio-pci" give_to_user "$nvme"
for mode in type1 iommufd; do
	user_claims "nvme, $mode" $NVME_CLAIMS "$HERE/vfio_nvme" $mode "$nvme"
done
ktap_check "what the user unmapped is reported as the disk's" \
	log_has "vtd: .*fault: .*$nvme.*vfio-pci.* write"
take_back "$nvme"
ktap_check "the disk comes back to the kernel and works" disk_again
ktap_check "edu is given to vfio-pci" give_to_user "$edu"
for mode in type1 iommufd; do
	user_claims "edu, $mode" $EDU_CLAIMS "$HERE/vfio_edu" $mode "$edu"
done
take_back "$edu"
echo "$edu" > /sys/bus/pci/drivers_probe
ktap_check "no kernel warning" log_is_clean
ktap_end
