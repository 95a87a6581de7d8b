#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Remapped interrupts of every kind: several of conventional MSI, some that are allocated late, more
# than a table has entries at first, those of a NIC. Then devices whose interrupts cannot be
# remapped: the log names them, and no user gets them as isolated. Booted with noapic.
#
# Boots: isolated-interrupts, remapped-races
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/vfio_users.sh"
. "$(dirname "$0")/lib/interrupts.sh"

RUN=/sys/kernel/debug/vtd_vectors/run

# run BDF COMMAND NUMBER: sets vectors to what vtd_vectors says.
run() {
	echo "$*" > $RUN || { echo "refused: $*"; return 1; }
	vectors=$(cat $RUN)
}

# vector_word NUMBER: prints IRQ:CALLS of one interrupt.
vector_word() {
	echo "$vectors" | cut -d' ' -f$(($1 + 1))
}

# arrives BDF NUMBER: the device raises this interrupt, its handler is called, and no other.
arrives() {
	run "$1" raise "$2"
	before=$vectors
	run "$1" raise "$2" || return 1
	# An igb may raise one again.
	echo "$before / $vectors" | awk -v at=$(($2 + 1)) '{
		count = (NF - 1) / 2
		for (i = 1; i <= count; i++) {
			split($i, old, ":")
			split($(count + 1 + i), new, ":")
			if (old[1] != new[1] || (i == at ? new[2] <= old[2] : new[2] != old[2])) exit 1
		}
		if (at > count) exit 1
	}' || { echo "interrupt $2: before $before, after $vectors"; return 1; }
}

all_arrive() {
	for number in $(seq 0 $(($2 - 1))); do arrives "$1" "$number" || return 1; done
}

# The bridge replaces the requester ID: the entry of the edu behind it accepts that.
bridged_arrives() {
	run "$bridged" msi 1 && arrives "$bridged" 0 || return 1
	grep -E " $bridged vector .*, from (buses|[0-9a-f]+:[0-9a-f]+\.[0-7]$)" "$(unit_files "$bridged")"/interrupts &&
		! grep " $bridged vector .*, from ${bridged#0000:}\$" "$(unit_files "$bridged")"/interrupts
}

# have_entries BDF COUNT
have_entries() {
	[ "$(entries_of "$1" | wc -l)" = "$2" ] || { cat "$(unit_files "$1")"/interrupts; return 1; }
}

# Entries of conventional MSI are consecutive, and aligned to their number.
are_aligned() {
	have_entries "$1" "$2" || return 1
	first=$(entry_of "$1")
	[ $((first % $2)) = 0 ] && [ "$(entries_of "$1" | tail -n1)" = $((first + $2 - 1)) ] ||
		{ entries_of "$1"; return 1; }
}

# Without remapping all would move together.
moves_alone() {
	word=$(vector_word 3)
	other=$(vector_word 4)
	echo 2 > "/proc/irq/${word%%:*}/smp_affinity" && arrives "$xhci" 3 || return 1
	echo 1 > "/proc/irq/${other%%:*}/smp_affinity" && arrives "$xhci" 4 || return 1
	[ "$(cat "/proc/irq/${word%%:*}/effective_affinity") $(cat "/proc/irq/${other%%:*}/effective_affinity")" = "2 1" ] ||
		{ cat /proc/interrupts; return 1; }
}

used() {
	sed -n '1s/.*, \([0-9]*\) of \([0-9]*\) entries in use/\1 \2/p' "$(unit_files "$1")"/interrupts
}

# grows: a device takes more entries than there are, while a disk is read.
grows() {
	used "$many" > /tmp/used
	disk=$(block_device "$nvme") || return 1
	dd if="/dev/$disk" of=/dev/null bs=4k count=4000 iflag=direct 2> /tmp/read &
	reader=$!
	run "$many" msix 300
	grown=$?
	wait $reader && [ $grown = 0 ] || { cat /tmp/read; return 1; }
	log_has "vtd: $(unit_of "$many"): its interrupt remapping table was enlarged to 512 entries" &&
		have_entries "$many" 300 && all_arrive_after_growth
}

# The disk's entries are the same in the larger table, and those beyond the old one are checked.
all_arrive_after_growth() {
	disk_io "$nvme" || return 1
	last=$(entries_of "$many" | tail -n1)
	[ "$last" -gt 255 ] || { echo "the last entry is $last"; return 1; }
	echo "$edu $(request_of "$last") 0" > "$FORGE"
	log_has "fault: device $edu .*interrupt request $(printf '0x%x' "$last") refused: .*reason 0x26\\), entry .* belongs to $many"
}

# is_released BDF: what vtd_vectors had of the device is freed, and the device is as if it was new.
is_released() {
	run "$1" free 0 && echo 1 > "$PCI/$1/remove" || return 1
	echo 0 > /sys/bus/pci/drivers_autoprobe
	echo 1 > /sys/bus/pci/rescan
	echo 1 > /sys/bus/pci/drivers_autoprobe
	is_present "$1" 1 && ! grep " $1 vector" "$(unit_files "$1")"/interrupts
}

shrinks_to() {
	is_released "$many" || return 1
	# shellcheck disable=SC2046 # numbers are words
	set -- $(used "$nvme") $(cat /tmp/used)
	[ "$1" -le "$3" ] && [ "$2" = 512 ] || { echo "$1 of $2 entries, $3 of $4 before"; return 1; }
}

# The other NIC has the same network.
nic_works() {
	nic=$(pci_by_id 0x8086:0x10d3 | head -n1)
	[ -z "$nic" ] || echo "$nic" > "$PCI/$nic/driver/unbind"
	modprobe igb && net_io "$igb" $((1 << 20)) || return 1
	[ "$(handled "$igb")" -gt 0 ] || { cat /proc/interrupts; return 1; }
}

# The disks of the machine, and a controller without a disk.
without_disk() {
	for found in "$PCI"/*; do
		[ "$(cat "$found/class")" = 0x010802 ] || continue
		case " $VTD_DISKS " in *" ${found##*/} "*) ;; *) echo "${found##*/}" ;; esac
	done
}

# The PCI core gives the bus of a bridge that is added the interrupt domain of the bridge.
bridge_returns() {
	above=$(basename "$(dirname "$(readlink -f "$PCI/$nvme")")")
	echo 1 > "$PCI/$above/remove" && echo 1 > /sys/bus/pci/rescan && is_present "$nvme" 1 &&
		load_drivers && disk_io "$nvme" && [ -n "$(entries_of "$nvme")" ]
}

# uses_msi BDF: and no wired interrupt, which drivers use if there is no MSI.
uses_msi() {
	[ -n "$(ls "$PCI/$1/msi_irqs" 2> /dev/null)" ] || { echo "$1 has no MSI"; return 1; }
}

works_without_vtd() {
	need_no_vtd && modprobe nvme && disk_io "$nvme" && uses_msi "$nvme" &&
		echo 1 > "$PCI/$nvme/remove" && echo 1 > /sys/bus/pci/rescan && disk_io "$nvme" && uses_msi "$nvme"
}

loads_with_hidden() {
	need_no_vtd && run "$edu" msi 1 && run "$igb" hide 0 && log_start && load_vtd
}

nvme=$(first_nvme)
edu=$(pci_by_id 0x1234:0x11e8 | head -n1)
xhci=$(pci_by_id 0x1b36:0x000d | head -n1)
igb=$(pci_by_id 0x8086:0x10c9 | head -n1)
# behind_bridge: of the devices on standard input, prints those behind a bridge to conventional PCI.
behind_bridge() {
	while read -r bdf; do
		[ "$(cat "$(dirname "$(readlink -f "$PCI/$bdf")")/device" 2> /dev/null)" != 0x000e ] || echo "$bdf"
	done
}
bridged=$(pci_by_id 0x1234:0x11e8 | behind_bridge | head -n1)
many=$(without_disk | head -n1)
[ -n "$nvme" ] || ktap_skip_all "VTD_DISKS names no NVMe disk that may be overwritten"
[ -n "$edu" ] || ktap_skip_all "edu is not there"
[ -n "$xhci" ] && [ -n "$igb" ] && [ -n "$many" ] && [ -n "$bridged" ] ||
	ktap_skip_all "qemu-xhci, an igb, an NVMe controller without a disk or edu behind a bridge is not there"
grep -qw noapic /proc/cmdline || ktap_skip_all "interrupts are not remapped without noapic"

ktap_start 25
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
insmod "$VTD_TEST_MODULES/vtd_vectors.ko" && insmod "$VTD_TEST_MODULES/vtd_forge.ko" ||
	ktap_abort "vtd_vectors or vtd_forge does not load"
# What forges requests is behind the unit whose table grows.
edu=$(pci_by_id 0x1234:0x11e8 | behind_unit "$(unit_of "$many")" | grep -vx "$bridged" | head -n1)
[ -n "$edu" ] || ktap_abort "no edu is behind the unit of $many"
log_start
payload $((4 << 20))
ktap_check "a NIC with several interrupts works" nic_works
rmmod igb
ktap_check "a device gets eight interrupts of conventional MSI" run "$xhci" msi 8
ktap_check "their entries are consecutive and aligned" are_aligned "$xhci" 8
ktap_check "each arrives at its handler, and at no other" all_arrive "$xhci" 8
ktap_check "each moves to a processor alone" moves_alone
ktap_check "they are freed" is_released "$xhci"
ktap_check "a device gets two interrupts of MSI-X" eval 'run "$igb" msix 2 && have_entries "$igb" 2'
ktap_check "each arrives" all_arrive "$igb" 2
ktap_check "a third one is allocated while the others are in use" eval 'run "$igb" more 0 && have_entries "$igb" 3'
ktap_check "all three arrive" all_arrive "$igb" 3
ktap_check "they are freed" is_released "$igb"
ktap_check "an interrupt arrives through a bridge that replaces the requester ID" bridged_arrives
ktap_check "it is freed" is_released "$bridged"
echo "$many" > "$PCI/$many/driver/unbind"
ktap_check "the table is replaced by a larger one while a disk is read" grows
ktap_check "the entries are free again, in the larger table" shrinks_to
rmmod vtd_forge
ktap_check "the driver loads where one device has interrupts, and another one has a different domain" loads_with_hidden
ktap_check "the log has the device whose interrupts were set up before" \
	log_has "vtd: $edu: its interrupts were set up before vtd was loaded: they are not remapped, so the unit refuses them, .* Remove and rescan it"
ktap_check "the log has the device with a different domain" \
	log_has "vtd: $igb: its interrupts are not remapped, and users get it only with allow_unsafe_interrupts: .*volume management"
ktap_check "no user gets it without consent" eval 'give_to_user "$igb" 0 && needs_consent "$igb"'
ktap_check "with consent a user gets it" eval 'take_back "$igb"; give_to_user "$igb" 1 && is_taken "$igb"'
take_back "$igb"
log_start
ktap_check "removed and rescanned, the other one is remapped" is_released "$edu"
ktap_check "and given to a user without consent" eval 'give_to_user "$edu" 0 && is_taken "$edu" && ! log_since | grep "vtd: $edu: its interrupts"'
take_back "$edu"
rmmod vfio_pci vfio_pci_core 2> /dev/null
run "$igb" show 0
rmmod vtd_vectors
ktap_check "a bridge is removed and found: what is behind it is remapped" bridge_returns
ktap_check "after the unload the disk works, also if it is found only then" works_without_vtd
ktap_check "no kernel warning" dmesg_is_clean
ktap_end
