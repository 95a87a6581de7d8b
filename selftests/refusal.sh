#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# A load that cannot be safe is refused. One log line names the cause, and the machine is left
# unchanged. Which causes can be tried depends on how the machine was booted.
#
# Boots: ordinary, in-tree-driver-on, interrupt-remapping-on
# Order: first
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

pages=$(firmware_units)
ktap_start $((13 + 12 * $(echo "$pages" | wc -l)))
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"

# busy PAGE STATE PATTERN: a unit that already translates or remaps interrupts.
busy() {
	insmod "$VTD_TEST_MODULES/vtd_busy.ko" base="$1" state="$2"
	refused "the unit at $1 with its $2 on" "$(unit_at "$1"): .*$3"
	rmmod vtd_busy
}

# One unit refuses the load: no other is changed, either.
for page in $pages; do
	insmod "$VTD_TEST_MODULES/vtd_claim.ko" base="$page"
	refused "register page $page held by another" "${page#0x}|claimed|held|busy"
	rmmod vtd_claim
	busy "$page" translation "translation is on[.,;].* Reset the machine"
	busy "$page" interrupts "interrupt.?remapping is on[.,;].* Reset the machine"
done

# Only the queue is enabled, as the in-tree driver leaves it at kexec: no driver uses it.
insmod "$VTD_TEST_MODULES/vtd_busy.ko" base="$page" state=queue
mark "queue left on begin"
log_start
ktap_check "a queue left on, which no driver uses: vtd loads" need_vtd
mark "queue left on end"
ktap_check "a queue left on: the log says that it is turned off" \
	log_has "vtd: $(unit_at "$page"): its invalidation queue was left enabled .* turning it off"
ktap_check "a queue left on: a device gets its translation" \
	eval '[ "$(group_type "$(served "$(unit_at "$page")" | head -n1)")" = DMA ]'
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
all_registered() {
	[ "$(all_units)" = "$(for page in $pages; do unit_at "$page"; done)" ] || { all_units; return 1; }
}
ktap_check "after refusals: each unit is registered" all_registered
ktap_check "after refusals: the DMAR table can be read by others" \
	test -s /sys/firmware/acpi/tables/DMAR
ktap_check "after refusals: no kernel warning" log_is_clean
ktap_end
