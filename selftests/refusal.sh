#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# A load that cannot be safe is refused. One log line names the cause, and the machine is left
# unchanged. Which causes can be tried depends on how the machine was booted.
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"

# state: prints what a load could have changed.
state() {
	grep -v ' : vtd_claim' /proc/iomem
	ls /sys/class/iommu /sys/kernel/iommu_groups 2>/dev/null
	ls -d /sys/kernel/vtd /sys/kernel/debug/vtd 2>/dev/null
	sed 's/^ *\([^ :]*\):.* \([^ ]*\)$/\1 \2/' /proc/interrupts | grep -i -e dmar -e vtd
	for pci_dev in "$PCI"/*; do
		echo "$pci_dev $(driver_of "${pci_dev##*/}") $(group_type "${pci_dev##*/}")"
	done
	grep '^vtd ' /proc/modules
}

# refused NAME PATTERN: four results about one attempt to load.
refused() {
	mark "refusal $1 begin"
	log_start
	state > /tmp/before
	ktap_check "$1: the load is refused" load_fails
	mark "refusal $1 end"
	ktap_check "$1: the log names the cause" log_has "vtd: .*($2)"
	state > /tmp/after
	ktap_check "$1: nothing was changed" diff /tmp/before /tmp/after
	ktap_check "$1: no kernel warning" log_is_clean
}

load_fails() {
	! insmod "$VTD_KO" 2> /tmp/insmod || { echo "insmod succeeded"; rmmod vtd; return 1; }
}

# The register page of the first unit, according to the firmware's table.
register_page() {
	# Header 48 bytes; then structures: type u16, length u16; DRHD is type 0
	# with its register base at offset 8.
	od -An -v -tu1 -w1 /sys/firmware/acpi/tables/DMAR | awk '
		{ b[NR - 1] = $1 }
		END {
			for (at = 48; at + 4 <= NR; at += size) {
				size = b[at + 2] + 256 * b[at + 3]
				if (size < 4) exit
				if (b[at] + 256 * b[at + 1] == 0) {
					for (i = 15; i >= 8; i--) printf "%02x", b[at + i]
					exit
				}
			}
		}'
}

if grep -q 'intel_iommu=on' /proc/cmdline; then
	ktap_start 4
	refused "in-tree driver active" "translat|in use|claimed|queue|driver"
	ktap_end
fi
if ! grep -q 'intremap=off' /proc/cmdline; then
	ktap_start 4
	refused "interrupt remapping on" "Boot with intel_iommu=off intremap=off"
	ktap_end
fi

ktap_start 25
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
page=$(register_page)
insmod "$VTD_TEST_MODULES/vtd_claim.ko" base="0x$page"
refused "register page 0x$page held by another" "$(echo "$page" | sed 's/^0*//')|claimed|held|busy"
rmmod vtd_claim

# busy STATE PATTERN: a unit that already translates or remaps interrupts.
busy() {
	insmod "$VTD_TEST_MODULES/vtd_busy.ko" base="0x$page" state="$1"
	refused "a unit with its $1 on" "$2"
	rmmod vtd_busy
}
busy translation "translation is on[.,;].* Reset the machine"
busy interrupts "interrupt.?remapping is on[.,;].* Reset the machine"

# Only the queue is enabled, as the in-tree driver leaves it at kexec: no driver uses it.
insmod "$VTD_TEST_MODULES/vtd_busy.ko" base="0x$page" state=queue
mark "queue left on begin"
log_start
ktap_check "a queue left on, which no driver uses: vtd loads" need_vtd
mark "queue left on end"
ktap_check "a queue left on: the log says that it is turned off" \
	log_has 'vtd: dmar0: its invalidation queue was left enabled .* turning it off'
ktap_check "a queue left on: a device gets its translation" eval '[ "$(group_type "$(pci_by_id 0x1234:0x11e8)")" = DMA ]'
ktap_check "a queue left on: vtd unloads again" eval 'need_no_vtd && rmmod vtd_busy && log_is_clean'

modprobe nvme
bound=$(basename "$(dirname "$(ls -d "$PCI"/*/nvme 2>/dev/null | head -n1)")")
if [ "$(driver_of "$bound")" = nvme ]; then
	refused "a device with a driver bound" "$bound.*nvme|nvme.*$bound"
	ktap_check "a device with a driver bound: the device still works" \
		dd if="/dev/$(block_device "$bound")" of=/dev/null bs=1M count=8 iflag=direct
	rmmod nvme
else
	ktap_skip_rest "no NVMe disk to bind a driver to"
fi

mark "refusal then load begin"
log_start
ktap_check "after refusals an ordinary load succeeds" need_vtd
mark "refusal then load end"
ktap_check "after refusals: a unit is registered" test -d /sys/class/iommu/dmar0/intel-iommu
ktap_check "after refusals: the DMAR table can be read by others" \
	test -s /sys/firmware/acpi/tables/DMAR
ktap_check "after refusals: no kernel warning" log_is_clean
ktap_end
