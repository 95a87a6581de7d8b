#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Interrupt remapping. Booted with noapic, each device can raise only its own interrupts: a user
# gets devices without consent to unsafe interrupts, and forged interrupts are refused and
# explained. Without noapic the log says what prevents that. Disks named in VTD_DISKS are
# overwritten.
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/vfio_users.sh"

HERE=$(dirname "$0")
FORGE=/sys/kernel/debug/vtd_forge/run

# unit_files: prints the folder of the disk's unit.
unit_files() {
	echo "/sys/kernel/debug/vtd/$(unit_of "$nvme")"
}

# entry_of BDF: the index of the first entry of the device.
entry_of() {
	sed -n "s/^ *\([0-9]*\) $1 vector .*/\1/p" "$(unit_files)"/interrupts | head -n1
}

# handled BDF: how many interrupts of the device were handled.
handled() {
	awk -v chip="IR-PCI-MSIX?-$1\$" '{
		for (at = 2; at <= NF; at++) {
			if ($at ~ chip)
				for (cpu = 2; cpu < at; cpu++)
					sum += $cpu
		}
	} END { print sum + 0 }' /proc/interrupts
}

remapped() {
	grep -Eq "IR-PCI-MSIX?-$1" /proc/interrupts || { cat /proc/interrupts; return 1; }
}

# The address of a request in remappable format without a sub-handle.
address_of() {
	printf '0x%x' $((0xfee00010 | ($1 & 0x7fff) << 5))
}

# forge BDF INDEX: the device raises the interrupt with this index.
forge() {
	echo "$1 $(address_of "$2") 0" > $FORGE
}

# refused ATTACKER INDEX REASON TEXT: the request is refused, reported with the reason, and the disk
# sees no interrupt.
refused() {
	log_start
	before=$(handled "$nvme")
	forge "$1" "$2" || return 1
	log_has "vtd: $(unit_of "$nvme"): fault: .*interrupt request 0x$(printf '%x' "$2") refused: .*reason $3\\), $4" || return 1
	[ "$(log_since | grep -c "vtd: $(unit_of "$nvme"): fault: ")" = 1 ] || { log_since; return 1; }
	[ "$(handled "$nvme")" = "$before" ] || { echo "the disk got an interrupt"; return 1; }
}

no_consent() {
	[ "$(cat /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts)" = N ] &&
		[ "$(cat /sys/module/iommufd/parameters/allow_unsafe_interrupts)" = N ]
}

give_without_consent() {
	give_to_user "$1" 0 && no_consent
}

disk_works() {
	modprobe nvme
	[ "$(driver_of "$nvme")" = nvme ] || echo "$nvme" > /sys/bus/pci/drivers_probe
	handled_before=$(handled "$nvme")
	disk_io "$nvme" || return 1
	remapped "$nvme" && [ "$(handled "$nvme")" -gt "$handled_before" ] || { cat /proc/interrupts; return 1; }
}

# The disk's interrupts move between processors while it works.
moves() {
	irqs=$(sed -n "s/^ *\([0-9]*\):.*IR-PCI-MSIX-$nvme.*/\1/p" /proc/interrupts)
	( for round in $(seq 40); do
		for irq in $irqs; do
			echo $((1 + round % 2)) > "/proc/irq/$irq/smp_affinity" 2> /dev/null
		done
		sleep 0.05
	done ) &
	mover=$!
	disk_io "$nvme"
	moved=$?
	wait $mover
	return $moved
}

# A processor goes away, with its interrupts, and comes back.
survives_offline() {
	[ -w /sys/devices/system/cpu/cpu1/online ] || { echo "cpu1 cannot be turned off"; return 1; }
	echo 0 > /sys/devices/system/cpu/cpu1/online || return 1
	disk_io "$nvme"
	worked=$?
	echo 1 > /sys/devices/system/cpu/cpu1/online
	[ $worked = 0 ] && disk_io "$nvme"
}

# Nothing of an interrupt is left once its driver is gone.
is_freed() {
	[ "$(driver_of "$nvme")" = none ] || echo "$nvme" > "$PCI/$nvme/driver/unbind"
	! grep -q " $nvme " "$(unit_files)"/interrupts || { cat "$(unit_files)"/interrupts; return 1; }
}

entries_agree() {
	words=$(cat /sys/kernel/debug/vtd/dmar*/interrupts | grep -c ' vector ')
	in_tree=$(grep -Ec '^ [0-9]+ +[0-9a-f]{2}:' /sys/kernel/debug/iommu/intel/ir_translation_struct)
	[ "$words" = "$in_tree" ] && [ "$words" -gt 0 ] || { cat /sys/kernel/debug/vtd/dmar*/interrupts; return 1; }
}

# of_wired: how many interrupts of IO-APICs were handled.
of_wired() {
	awk '/ IO-APIC / { for (at = 2; $at ~ /^[0-9]+$/; at++) sum += $at } END { print sum + 0 }' /proc/interrupts
}

wired_arrive() {
	before=$(of_wired)
	for try in $(seq $((50 * PATIENCE))); do
		[ "$(of_wired)" -eq "$before" ] || return 0
		# Output on the serial console takes its interrupt.
		echo "waiting for the interrupt of the console" > /dev/ttyS0
		sleep 0.1
	done
	cat /proc/interrupts
	return 1
}

wired_says_the_log() {
	dmesg | grep -Eq "vtd: $(unit_of "$nvme"): interrupts are not remapped, so a device can forge any: IO-APIC 0 needs interrupts in compatibility format \(in use: pin [0-9]+ by .*\): boot with noapic to isolate them" ||
		{ dmesg | grep 'vtd: .*interrupt'; return 1; }
}

# QEMU's unit does not execute the command to let requests in compatibility format pass, so it does not
# remap at all then.
anyway_says_the_log() {
	need_no_vtd && log_start && load_vtd interrupts=2 || return 1
	dmesg | grep -Eq "vtd: $(unit_of "$nvme"): interrupts are (not remapped, so a device can forge any: the unit does not let interrupts in compatibility format pass \(GSTS.CFIS\)|remapped, but a device can forge one in compatibility format), which IO-APIC 0 needs \(in use: pin [0-9]+ by .*\): boot with noapic to isolate them" ||
		{ dmesg | grep 'vtd: .*interrupt'; return 1; }
	need_no_vtd && need_vtd
}

is_refused() {
	need_no_vtd && log_start || return 1
	! insmod "$VTD_KO" interrupts=3 2> /dev/null && log_has "not loaded: interrupts=3 is not valid: give 0"
}

isolated_says_the_log() {
	dmesg | grep -q "vtd: $(unit_of "$nvme"): interrupts are remapped: a device can raise no interrupt but its own"
}

nvme=$(first_nvme)
[ -n "$nvme" ] || ktap_skip_all "VTD_DISKS names no NVMe disk that may be overwritten"
[ -n "$(pci_by_id 0x1234:0x11e8)" ] && [ -n "$(pci_by_id 0x1b36:0x0005)" ] ||
	ktap_skip_all "edu or iommu-testdev is not there"

if ! grep -qw noapic /proc/cmdline; then
	ktap_start 6
	need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module is not unloaded: $(cat /tmp/need)"
	mark "interrupts wired begin"
	need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
	ktap_check "the log says which IO-APIC prevents isolation, who uses it, and what to do" wired_says_the_log
	payload $((8 << 20))
	log_start
	ktap_check "the disk works" disk_io "$nvme"
	ktap_check "interrupts of the IO-APIC still arrive" wired_arrive
	mark "interrupts wired end"
	ktap_check "with interrupts=2 it is tried, and the log says what became of it" anyway_says_the_log
	ktap_check "interrupts=3: the load is refused" is_refused
	ktap_check "no kernel warning" dmesg_is_clean
	ktap_end
	exit
fi

ktap_start $((2 * (NVME_CLAIMS + EDU_CLAIMS) + 21))
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
insmod "$VTD_TEST_MODULES/vtd_forge.ko" || ktap_abort "vtd_forge does not load"
# An index means an entry of the table of the device's unit.
edu=$(pci_by_id 0x1234:0x11e8 | behind_unit "$(unit_of "$nvme")" | head -n1)
testdev=$(pci_by_id 0x1b36:0x0005 | behind_unit "$(unit_of "$nvme")" | head -n1)
[ -n "$edu" ] && [ -n "$testdev" ] || ktap_abort "no edu or iommu-testdev is behind the unit of $nvme"
log_start
payload $((8 << 20))
ktap_check "the log says that devices are isolated" isolated_says_the_log
ktap_check "the disk works with remapped interrupts" disk_works
ktap_check "the files in words and in the in-tree form list the same entries" entries_agree
ktap_check "its interrupts move between processors while it works" moves
ktap_check "a processor is turned off and on" survives_offline

victim=$(entry_of "$nvme")
free=200
mark "interrupts forged begin"
ktap_check "edu raises an interrupt of the disk" \
	refused "$edu" "$victim" 0x26 "entry 0x$(printf '%x' "$victim") belongs to $nvme \(driver nvme\)"
ktap_check "edu raises an interrupt that no device has" \
	refused "$edu" $free 0x22 "entry 0xc8 belongs to no device"
ktap_check "edu raises an interrupt beyond the table" \
	refused "$edu" 5000 0x21 "entry 0x1388 belongs to no device"
ktap_check "iommu-testdev writes an interrupt of the disk" \
	refused "$testdev" "$victim" 0x26 "entry 0x$(printf '%x' "$victim") belongs to $nvme"
ktap_check "iommu-testdev writes an interrupt that no device has" \
	refused "$testdev" $free 0x22 "entry 0xc8 belongs to no device"
mark "interrupts forged end"
ktap_check "when the disk is unbound its entries are gone" is_freed
ktap_check "an interrupt that it had is refused" refused "$edu" "$victim" 0x22 "entry .* belongs to no device"

ktap_check "the disk is given to a user without consent" give_without_consent "$nvme"
for mode in type1 iommufd; do
	user_claims "nvme, $mode" $NVME_CLAIMS "$HERE/vfio_nvme" $mode "$nvme"
done
take_back "$nvme"
ktap_check "the disk returns to the kernel and works" disk_works
ktap_check "edu is given to a user without consent" give_without_consent "$edu"
for mode in type1 iommufd; do
	user_claims "edu, $mode" $EDU_CLAIMS "$HERE/vfio_edu" $mode "$edu"
done
victim=$(entry_of "$nvme")
forged_by_user() {
	hold iommufd "$edu" && refused "$edu" "$victim" 0x26 "entry .* belongs to $nvme" &&
		log_since | grep 'owner user'
	forged=$?
	release_user
	return $forged
}
ktap_check "edu raises an interrupt of the disk while a user has it" forged_by_user
take_back "$edu"
rmmod vtd_forge

unloads() {
	unload_drivers
	rmmod vfio_pci vfio_pci_core 2> /dev/null
	echo 1 > /sys/kernel/vtd/detach && rmmod vtd || return 1
	! grep -q 'IR-PCI' /proc/interrupts || { cat /proc/interrupts; return 1; }
}

off_says_the_log() {
	insmod "$VTD_KO" interrupts=0 || return 1
	log_has "vtd: $(unit_of "$nvme"): interrupts are not remapped, so a device can forge any: interrupts=0 was chosen"
}

asks_for_consent() {
	modprobe -q vfio-pci
	echo 0 > /sys/module/iommufd/parameters/allow_unsafe_interrupts
	echo "$edu" > "$PCI/$edu/driver/unbind" 2> /dev/null
	echo vfio-pci > "$PCI/$edu/driver_override"
	echo "$edu" > /sys/bus/pci/drivers_probe
	! "$HERE/vfio_edu" iommufd "$edu" 2>&1
}

ktap_check "the driver is unloaded, and no interrupt is remapped any more" unloads
log_start
ktap_check "with interrupts=0 nothing is remapped, and the log says so" off_says_the_log
ktap_check "a user then needs consent" asks_for_consent
echo "$edu" > "$PCI/$edu/driver/unbind"
echo > "$PCI/$edu/driver_override"
ktap_check "the driver is unloaded" sh -c 'rmmod vfio_pci vfio_pci_core 2> /dev/null; echo 1 > /sys/kernel/vtd/detach && rmmod vtd'
ktap_check "no kernel warning" dmesg_is_clean
ktap_end
