#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Devices are removed and rescanned: they are served as before, and nothing of them is left in
# between.
#
# Boots: ordinary
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"

first_disk=$(echo "${VTD_DISKS:-}" | cut -d' ' -f1)
[ -n "$first_disk" ] || ktap_skip_all "VTD_DISKS names no disk that may be overwritten"
victim=$(pci_by_id 0x1b36:0x0005 | head -n1)
[ -n "$victim" ] || victim=$(pci_by_id 0x1234:0x11e8 | head -n1)
[ -n "$victim" ] || ktap_skip_all "neither edu nor iommu-testdev is there"

remove() {
	echo 1 > "$PCI/$1/remove"
	[ ! -e "$PCI/$1" ]
}

rescan() {
	echo 1 > /sys/bus/pci/rescan
	[ -e "$PCI/$1/iommu_group" ] || { echo "$1 did not come back into a group"; return 1; }
}

many_times() {
	for round in 1 2 3 4 5 6 7 8; do
		remove "$1" && rescan "$1" || { echo "round $round"; return 1; }
	done
}

same_ids() {
	[ "$(domain_ids)" = "$1" ] || { echo "$(domain_ids) domain ids are in use, not $1"; return 1; }
}

listed() {
	grep -q "$1" /sys/kernel/vtd/users
}

ktap_start 15
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
payload $((24 << 20))
log_start
ids_before=$(domain_ids)
ktap_check "a disk in use is removed" remove "$first_disk"
if [ "$VTD_KO" = none ]; then
	ktap_skip "it is no longer listed as in use" "the kernel's own driver has no list"
else
	ktap_check "it is no longer listed as in use" eval '! listed "$first_disk"'
fi
ktap_check "after a rescan it is in a group" rescan "$first_disk"
ktap_check "with a strict DMA domain" test "$(group_type "$first_disk")" = DMA
mark "dma $first_disk replugged begin"
ktap_check "the disk works" disk_io "$first_disk"
mark "dma $first_disk replugged end"
ktap_check "a test device is removed and rescanned eight times" many_times "$victim"
ktap_check "no domain-id was lost" same_ids "$ids_before"
victim_lands() {
	attack "$victim" allowed-write && [ "$(attack_word landed)" = 1 ] || { echo "$attacked"; return 1; }
}
victim_is_refused() {
	attack "$victim" "$1" && [ "$(attack_word landed)" = 0 ] || { echo "$attacked"; return 1; }
}
ktap_check "it reaches what is mapped for it" victim_lands
ktap_check "a page never mapped is refused" victim_is_refused never-mapped
ktap_check "a page unmapped is refused" victim_is_refused unmapped
unbind_bind() {
	driver=$(driver_of "$first_disk")
	for round in 1 2 3 4; do
		echo "$first_disk" > "/sys/bus/pci/drivers/$driver/unbind" || return 1
		echo "$first_disk" > "/sys/bus/pci/drivers/$driver/bind" || return 1
	done
	disk_io "$first_disk"
}
ktap_check "a driver unbound and bound again works" unbind_bind
if command -v host > /dev/null; then
	ktap_check "a disk is pulled out of its slot" eval 'host unplug-nvme && is_present "$first_disk" 0'
	ktap_check "the disk is plugged in again" eval 'host plug-nvme && is_present "$first_disk" 1'
	ktap_check "the disk works again" disk_io "$first_disk"
else
	for what in "a disk is pulled out of its slot" "the disk is plugged in again" "the disk works again"; do
		ktap_skip "$what" "no host is there to do it"
	done
fi
ktap_check "no kernel warning" log_is_clean
ktap_end
