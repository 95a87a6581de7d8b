#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Interrupt remapping. Booted with noapic, each device can raise only its own interrupts: a user
# gets devices without consent to unsafe interrupts, and forged interrupts are refused and
# explained. Without noapic the log says what prevents that. Disks named in VTD_DISKS are
# overwritten.
#
# Boots: ordinary, isolated-interrupts*, server, remapped-races
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/vfio_users.sh"
. "$(dirname "$0")/lib/interrupts.sh"

# Entries that no device has: in the table, and beyond it.
FREE=200
BEYOND=5000
remapped() {
	grep -Eq "IR-PCI-MSIX?-$1" /proc/interrupts || { cat /proc/interrupts; return 1; }
}

# kernel_forges BDF INDEX: the device raises the interrupt with this index.
kernel_forges() {
	echo "$1 $(request_of "$2") 0" > "$FORGE"
}

# user_forges BDF INDEX: the same, as the user who has the device requests it, through the interface
# $user_mode.
user_forges() {
	"$PROGRAMS/vfio_forge" "$user_mode" "$1" "$(request_of "$2")"
}

# refused HOW ATTACKER INDEX REASON TEXT: the request is refused, reported with the reason, and the
# disk sees no interrupt. QEMU attributes the writes of iommu-testdev to 00:00.0.
refused() {
	log_start
	before=$(handled "$nvme")
	"$1_forges" "$2" "$3" || return 1
	sender=$2 fault="vtd: $(unit_of "$2"): fault: "
	[ "$2" != "$testdev" ] || sender=0000:00:00.0
	log_has "${fault}device $sender .*owner $1.*interrupt request 0x$(printf '%x' "$3") refused: .*reason $4\\), $5" || return 1
	[ "$(log_since | grep -c "$fault")" = 1 ] || { log_since; return 1; }
	[ "$(handled "$nvme")" = "$before" ] || { echo "the disk got an interrupt"; return 1; }
}

# attacks HOW ATTACKER NAME: three results.
attacks() {
	ktap_check "$3 raises an interrupt of the disk" \
		refused "$1" "$2" "$victim" 0x26 "entry 0x$(printf '%x' "$victim") belongs to $nvme \(driver nvme\)"
	ktap_check "$3 raises an interrupt that no device has" \
		refused "$1" "$2" $FREE 0x22 "entry $(printf '0x%x' $FREE) belongs to no device"
	ktap_check "$3 raises an interrupt beyond the table" \
		refused "$1" "$2" $BEYOND 0x21 "entry $(printf '0x%x' $BEYOND) belongs to no device"
}

# More requests than the driver records of a device, for the disk's entry.
# A unit that is not read in time loses faults, so it may take more of them until enough are counted.
storms() {
	log_start
	for try in $(seq $((10 * PATIENCE))); do
		echo "$edu $(request_of "$victim") 0 1500" > "$FORGE" || return 1
		sleep 0.2
		! log_since | grep -q "raised 1000 faults" || break
	done
	log_has "fault: device $edu raised 1000 faults within [0-9]+ ms: further interrupt requests are refused as before, and those that name this entry.* no longer recorded" &&
		grep "^ *$victim $nvme .*faults not recorded" "$(unit_files "$nvme")"/interrupts
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
	! grep -q " $nvme " "$(unit_files "$nvme")"/interrupts || { cat "$(unit_files "$nvme")"/interrupts; return 1; }
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

# isolated_says_the_log BDF: of a crash kernel it speaks only if there may be one.
isolated_says_the_log() {
	dmesg | grep -q "vtd: $(unit_of "$1"): interrupts are remapped: a device can raise no interrupt but its own" &&
		{ grep -q crashkernel= /proc/cmdline || ! dmesg | grep 'vtd: .*crash kernel'; }
}

# isolated_edu: prints an edu behind a unit that isolates its devices.
isolated_edu() {
	for bdf in $(pci_by_id 0x1234:0x11e8); do
		! grep -q 'remapped, devices isolated' "$(unit_files "$bdf")"/interrupts || { echo "$bdf"; return; }
	done
}

# Of several units, the one without an IO-APIC isolates its devices.
one_isolates() {
	far=$(isolated_edu)
	[ -n "$far" ] && isolated_says_the_log "$far" || { dmesg | grep 'vtd: .*interrupt'; return 1; }
}

nvme=$(first_nvme)
[ -n "$nvme" ] || ktap_skip_all "VTD_DISKS names no NVMe disk that may be overwritten"
[ -n "$(pci_by_id 0x1234:0x11e8)" ] && [ -n "$(pci_by_id 0x1b36:0x0005)" ] ||
	ktap_skip_all "edu or iommu-testdev is not there"

# attackers_at_disk: an index means an entry of the table of the device's unit, so the attackers are
# behind that of the disk.
attackers_at_disk() {
	edu=$(pci_by_id 0x1234:0x11e8 | behind_unit "$(unit_of "$nvme")" | head -n1)
	testdev=$(pci_by_id 0x1b36:0x0005 | behind_unit "$(unit_of "$nvme")" | head -n1)
	[ -n "$edu" ] && [ -n "$testdev" ] || ktap_abort "no edu or iommu-testdev is behind the unit of $nvme"
}

if ! grep -qw noapic /proc/cmdline; then
	units=$(firmware_units | wc -l)
	ktap_start $((units > 1 ? 11 : 6))
	need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module is not unloaded: $(cat /tmp/need)"
	mark "interrupts wired begin"
	need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
	attackers_at_disk
	ktap_check "the log says which IO-APIC prevents isolation, who uses it, and what to do" wired_says_the_log
	payload $((8 << 20))
	log_start
	ktap_check "the disk works" disk_io "$nvme"
	ktap_check "interrupts of the IO-APIC still arrive" wired_arrive
	if [ "$units" -gt 1 ]; then
		ktap_check "a unit without an IO-APIC isolates its devices, says the log" one_isolates
		insmod "$VTD_TEST_MODULES/vtd_forge.ko"
		ktap_check "an interrupt that a device behind it forges is refused" \
			refused kernel "$far" $FREE 0x22 "entry .* belongs to no device"
		rmmod vtd_forge
		ktap_check "a user gets that device without consent" eval 'give_without_consent "$far" && is_taken "$far"'
		take_back "$far"
		ktap_check "without consent no user gets one behind the IO-APIC's unit" \
			eval 'give_to_user "$edu" 0 && needs_consent "$edu"'
		ktap_check "with consent a user gets it" eval 'take_back "$edu"; give_to_user "$edu" 1 && is_taken "$edu"'
		take_back "$edu"
	fi
	mark "interrupts wired end"
	ktap_check "with interrupts=2 it is tried, and the log says what became of it" anyway_says_the_log
	ktap_check "interrupts=3: the load is refused" is_refused
	ktap_check "no kernel warning" dmesg_is_clean
	ktap_end
	exit
fi

requester=$(pci_by_id 0x1b36:0x00f0 | head -n1)
[ -n "$requester" ] || ktap_skip_all "vtd-requester is not there"
ktap_start $((2 * (NVME_CLAIMS + EDU_CLAIMS) + 33))
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
insmod "$VTD_TEST_MODULES/vtd_forge.ko" || ktap_abort "vtd_forge does not load"
attackers_at_disk
log_start
payload $((8 << 20))
ktap_check "the log says that devices are isolated" isolated_says_the_log "$nvme"
ktap_check "the disk works with remapped interrupts" disk_works
ktap_check "the files in words and in the in-tree form list the same entries" entries_agree
ktap_check "its interrupts move between processors while it works" moves
ktap_check "a processor is turned off and on" survives_offline

victim=$(entry_of "$nvme")
mark "interrupts forged begin"
attacks kernel "$edu" edu
attacks kernel "$testdev" iommu-testdev
mark "interrupts forged end"
ktap_check "edu is given to a user without consent" give_without_consent "$edu"
for mode in type1 iommufd; do
	user_claims "edu, $mode" $EDU_CLAIMS env STAGE="$(stage_of "$edu")" "$PROGRAMS/vfio_edu" $mode "$edu"
done
take_back "$edu"
ktap_check "a requester is given to a user without consent" give_without_consent "$requester"
mark "interrupts forged by a user begin"
for user_mode in type1 iommufd; do
	attacks user "$requester" "a user's device ($user_mode)"
done
mark "interrupts forged by a user end"
mark "interrupts freed begin"
ktap_check "when the disk is unbound its entries are gone" is_freed
freed="an interrupt that the disk had is refused"
ktap_check "$freed: a user's device" refused user "$requester" "$victim" 0x22 "entry .* belongs to no device"
take_back "$requester"
ktap_check "$freed: edu" refused kernel "$edu" "$victim" 0x22 "entry .* belongs to no device"
ktap_check "$freed: iommu-testdev" refused kernel "$testdev" "$victim" 0x22 "entry .* belongs to no device"
mark "interrupts freed end"

ktap_check "the disk is given to a user without consent" give_without_consent "$nvme"
for mode in type1 iommufd; do
	user_claims "nvme, $mode" $NVME_CLAIMS "$PROGRAMS/vfio_nvme" $mode "$nvme"
done
take_back "$nvme"
ktap_check "the disk returns to the kernel and works" disk_works
victim=$(entry_of "$nvme")
ktap_check "of a storm of requests no more are recorded, says the log" storms
ktap_check "further ones are refused and not recorded" records_faults 0 kernel_forges "$edu" "$victim"
ktap_check "once the disk uses the entry again they are recorded" eval \
	'is_freed && disk_works && records_faults 1 kernel_forges "$edu" "$victim"'
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

ktap_check "the driver is unloaded, and no interrupt is remapped any more" unloads
log_start
ktap_check "with interrupts=0 nothing is remapped, and the log says so" off_says_the_log
ktap_check "a user then needs consent" eval 'give_to_user "$edu" 0 && needs_consent "$edu"'
take_back "$edu"
ktap_check "the driver is unloaded" sh -c 'rmmod vfio_pci vfio_pci_core 2> /dev/null; echo 1 > /sys/kernel/vtd/detach && rmmod vtd'
ktap_check "no kernel warning" dmesg_is_clean
ktap_end
