#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# A device given to user space, by VFIO's container and by iommufd: it reaches what its user
# mapped and nothing else, and is returned to the kernel. Where interrupts are not remapped, both
# require consent.
#
# Boots: ordinary, client*, races, scalable, first-stage
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"

CLAIMS=15
VFIO_DMA=${VFIO_DMA:-$PROGRAMS/vfio_dma}
IOMMUFD_CONSENT=/sys/module/iommufd/parameters/allow_unsafe_interrupts

bdf=$(pci_by_id 0x1b36:0x0005 | head -n1)
[ -n "$bdf" ] || ktap_skip_all "iommu-testdev is not there"
[ -x "$VFIO_DMA" ] || ktap_skip_all "vfio_dma was not built"
modprobe -q vfio-pci || ktap_skip_all "this kernel has no vfio-pci"

give_to_user() {
	rmmod vtd_attack
	echo vfio-pci > "$PCI/$bdf/driver_override"
	echo "$bdf" > /sys/bus/pci/drivers_probe
	[ "$(driver_of "$bdf")" = vfio-pci ]
}

give_back() {
	echo "$bdf" > "$PCI/$bdf/driver/unbind"
	echo > "$PCI/$bdf/driver_override"
	load_drivers
	attack "$bdf" allowed-write && [ "$(attack_word landed)" = 1 ] || { echo "$attacked"; return 1; }
	attack "$bdf" never-mapped && [ "$(attack_word landed)" = 0 ] || { echo "$attacked"; return 1; }
}

needs_consent() {
	! "$VFIO_DMA" "$1" "$bdf" 2>&1 || { echo "it was given without consent"; return 1; }
}

# claims MODE: prints each claim of vfio_dma as a result.
claims() {
	mark "vfio $1 begin"
	"$VFIO_DMA" "$1" "$bdf" > /tmp/claims 2>&1
	mark "vfio $1 end"
	given=0
	while read -r verdict what; do
		case $verdict in
		ok) ktap_pass "$1: $what" ;;
		fail) ktap_fail "$1: $what" ;;
		*) echo "$verdict $what" | ktap_note; continue ;;
		esac
		given=$((given + 1))
	done < /tmp/claims
	while [ $given -lt $CLAIMS ]; do
		ktap_fail "$1: a claim that was not made"
		given=$((given + 1))
	done
}

# Log lines of one device within five seconds, see src/core/fault_limit.rs: ten faults, a line that
# more are not shown, one with their number, a storm, and that faults are recorded again.
LINES=14
STORM_SECONDS=4

# The lines of the log are a limited resource, too: a device that is attached again and again is
# reported as rarely as one that stays attached.
storms() {
	log_start
	began=$(cut -d. -f1 /proc/uptime)
	"$PROGRAMS/vfio_storm" "$bdf" $STORM_SECONDS > /tmp/storm 2>&1 || { cat /tmp/storm; return 1; }
	took=$(($(cut -d. -f1 /proc/uptime) - began + 1))
	cat /tmp/storm
	sleep 0.5
	lines=$(log_since | grep -c 'vtd: ')
	[ "$lines" -le $((LINES * (2 + took / 5))) ] ||
		{ echo "$lines lines of the log in $took s"; log_since | tail -n 5; return 1; }
	# Most of the burst may have been used up just before.
	[ "$lines" -ge 2 ] || { echo "$lines lines of the log"; return 1; }
}

in_use() {
	grep -q "$bdf.*vfio-pci" /sys/kernel/vtd/users || { cat /sys/kernel/vtd/users; return 1; }
}

ktap_start $((2 * CLAIMS + 8))
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
log_start
rmmod vfio_iommu_type1 2> /dev/null
modprobe vfio_iommu_type1
echo 0 > $IOMMUFD_CONSENT
ktap_check "the device is given to vfio-pci" give_to_user
ktap_check "type1 requires consent to interrupts that are not remapped" needs_consent type1
ktap_check "iommufd requires it, too" needs_consent iommufd
echo 1 > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
echo 1 > $IOMMUFD_CONSENT
claims type1
claims iommufd
ktap_check "a user who attaches it repeatedly does not flood the log" storms
echo "# $lines lines of the log: $(cat /tmp/storm)"
if [ "$VTD_KO" = none ]; then
	ktap_skip "users lists the device with vfio-pci" "the kernel's own driver has no list"
else
	ktap_check "users lists the device with vfio-pci" in_use
fi
ktap_check "the device returns to the kernel" give_back
rmmod vfio_pci vfio_pci_core 2> /dev/null
ktap_check "no VFIO group file is left" test ! -e "/dev/vfio/$(basename "$(readlink "$PCI/$bdf/iommu_group")")"
ktap_check "no kernel warning" log_is_clean
ktap_end
