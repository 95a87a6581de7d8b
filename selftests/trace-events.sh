#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The trace events of the IOMMU core report of our domains what they report of any driver's: which
# device joins a group, what is attached, mapped and unmapped, and what was refused.
#
# Boots: ordinary
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/tracing.sh"

EVENTS=$TRACING/events/iommu
OWNER=/sys/kernel/debug/vtd_owner/do
IOVA=0x4000000000
SIZE=0x203000

[ -d $EVENTS ] || ktap_skip_all "this kernel has no trace events of the IOMMU core"
edu=$(attackers | head -n1)
[ -n "$edu" ] || ktap_skip_all "neither edu nor iommu-testdev is there"

ask() {
	echo "$*" > $OWNER
}

# The page that the DMA API maps for a device and then unmaps.
used_and_refused() {
	attack "$edu" unmapped && page=$(attack_word iova) &&
		[ "$(attack_word landed)" = 0 ] || { echo "$attacked"; return 1; }
	page=$(printf '%016x' "$page")
}

ktap_start 13
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
log_start
group=$(basename "$(readlink "$PCI/$edu/iommu_group")")
ktap_check "the events are enabled" listen
ktap_check "the DMA API: a page is mapped, used, unmapped and refused" used_and_refused
ktap_check "map: that page" traces "map: IOMMU: iova=0x$page - .* paddr=0x[0-9a-f]*[1-9a-f][0-9a-f]* size=4096"
ktap_check "unmap: that page" traces "unmap: IOMMU: iova=0x$page - .* size=4096 unmapped_size=4096"
ktap_check "io_page_fault: driver, device, address, a write" \
	traces "io_page_fault: IOMMU:vtd_attack $edu iova=0x$page flags=0x0001"

insmod "$VTD_TEST_MODULES/vtd_owner.ko"
echo "$edu" > "$PCI/$edu/driver/unbind"
ktap_check "a domain is allocated, its group claimed, attached and mapped" eval 'listen && ask new a "$edu" &&
	ask claim "$edu" a && ask attach a "$edu" && ask map a $IOVA 0x1000001000 $SIZE'
ktap_check "attach_device_to_domain: blocked, then the domain" \
	traces "attach_device_to_domain: IOMMU: device=$edu" 2
ktap_check "map: the request as submitted, whatever page sizes were used" \
	traces "map: IOMMU: iova=0x0000004000000000 - 0x0000004000203000 paddr=0x0000001000001000 size=2109440"
ktap_check "a second map of the same is refused" eval '! ask map a $IOVA 0x1000001000 0x1000 2> /dev/null'
ktap_check "map: the event says that no byte was mapped" \
	traces "map: IOMMU: iova=0x0000004000000000 - 0x0000004000000000 paddr=0x0000001000001000 size=0"
ask detach a "$edu"; ask release "$edu"; ask free a
rmmod vtd_owner
ktap_check "remove_device_from_group and add_device_to_group" eval 'listen &&
	echo 1 > "$PCI/$edu/remove" && echo 1 > /sys/bus/pci/rescan &&
	traces "remove_device_from_group: IOMMU: groupID=$group device=$edu" &&
	traces "add_device_to_group: IOMMU: groupID=[0-9]+ device=$edu"'
ktap_check "attach_device_to_domain: once for its default domain" \
	traces "attach_device_to_domain: IOMMU: device=$edu"
echo 0 > $EVENTS/enable
load_drivers
ktap_check "no kernel warning" log_is_clean
ktap_end
