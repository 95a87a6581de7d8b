#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Devices are added, removed and handed over while they are in use: pulled with and without
# warning, removed and rescanned, virtual functions created and removed, moved from one driver to
# another and to a user. A removed device reaches nothing, a present device reaches only what its
# owner mapped, and no page is leaked.
#
# Boots: hot-plug
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"
. "$(dirname "$0")/lib/vfio_users.sh"
. "$(dirname "$0")/lib/fio.sh"
. "$(dirname "$0")/lib/memory.sh"

need_memory
fio_is_there || ktap_skip_all "there is no fio"
nvme=$(echo "${VTD_DISKS:-}" | cut -d' ' -f1)
[ -n "$nvme" ] || ktap_skip_all "VTD_DISKS names no disk that may be overwritten"
victim=$(pci_by_id 0x1b36:0x0005 | head -n1)
[ -n "$victim" ] || ktap_skip_all "iommu-testdev is not there"
pf=$(pci_by_id 0x8086:0x10c9 | head -n1)
[ -n "$pf" ] || ktap_skip_all "there is no igb (8086:10c9)"
command -v host > /dev/null || ktap_skip_all "no host is there to pull a device"
[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver has no list of users"

BINDS=100
[ "$(cmdline guest.long)" != 1 ] || BINDS=1000
HAND_OVERS=8
# Writes of an unknown requester: more than the driver records.
STORM=3000
FUNCTION_ROUNDS=5
# Bounds in pages, see load-cycles.sh; the second is less than one page per bind.
AROUND=128
GROWTH=64
SLABS=64

disk_works() {
	disk=$(block_device "$nvme") && [ "$(group_type "$nvme")" = DMA ] && fio_starts "$disk"
}

is_gone() {
	! grep "$1" /sys/kernel/vtd/users && [ ! -e "/sys/kernel/debug/iommu/intel/$1" ] &&
		[ "$(domain_ids)" = $((ids - 1)) ]
}

# The slot is powered off only after the device has left the kernel. Its port may still be busy
# with that when the next device is plugged in: then that one is removed again.
put_back() {
	for try in $(seq $((3 * PATIENCE))); do
		sleep 3
		host plug-nvme > /tmp/plugged && is_present "$nvme" 1 && break
		cat /tmp/plugged
		host unplug-nvme > /tmp/plugged
	done
	disk_io "$nvme" && [ "$(domain_ids)" = "$ids" ]
}

# pci_capability BDF ID: prints its offset in configuration space.
pci_capability() {
	at=$(word "$1" 52 1)
	for round in 1 2 3 4 5 6 7 8 9 10 11 12; do
		[ "${at:-0}" != 0 ] || break
		[ "$(word "$1" "$at" 1)" != "$2" ] || { echo "$at"; return 0; }
		at=$(word "$1" $((at + 1)) 1)
	done
	return 1
}

# slot_control BDF OFFSET VALUE
slot_control() {
	# shellcheck disable=SC2059
	printf "$(printf '\\x%02x\\x%02x' $(($3 & 255)) $(($3 >> 8)))" |
		dd of="$PCI/$1/config" bs=2 seek=$(($2 / 2)) conv=notrunc 2> /dev/null
}

# Turns off power and its indicator (PCIe 7.5.3.10) behind the back of the port's driver, with
# the port's interrupt disabled: the device disappears before any code is notified. The driver of
# the port then sees a slot as it left it, and no device in it.
pull_by_surprise() {
	port=$(basename "$(dirname "$(readlink -f "$PCI/$nvme")")")
	capability=$(pci_capability "$port" 16) || { echo "$port has no slot"; return 1; }
	control=$((capability + 24))
	now=$(word "$port" $control 2)
	slot_control "$port" $control $((now & ~0x20 | 0x700))
	slot_control "$port" $control "$now"
	is_present "$nvme" 0
}

# Removed under I/O; the hardware stays in place.
removed_under_io() {
	for round in 1 2 3; do
		disk_works || return 1
		echo 1 > "$PCI/$nvme/remove"
		fio_failed "$disk" && is_gone "$nvme" || { echo "round $round"; return 1; }
		echo 1 > /sys/bus/pci/rescan
		is_present "$nvme" 1 || return 1
	done
	disk_works && fio_ends "$disk"
}

# The device itself is still there, and continues its requests.
removed_and_requests() {
	base=$(cut -d' ' -f1 "$PCI/$victim/resource" | head -n1)
	unbind "$victim"
	refused "$victim" "$(memory)" || return 1
	echo 1 > "$PCI/$victim/remove"
	refused "testdev@$base" "$(memory)"
}

# After a number of faults the unit records no more faults of it, which is logged once; it is
# refused as before.
storms() {
	log_start
	became=$(dma "testdev@$base" "$(memory)" "$(memory)" $STORM)
	[ "$became" = refused ] || { echo "a storm of $STORM: $became"; return 1; }
	log_has "fault: requester $victim raised 1000 faults within [0-9]+ ms; its requests are refused as before, but no longer recorded" ||
		return 1
	[ "$(log_since | grep -c "requester $victim raised")" = 1 ] || { log_since; return 1; }
	records_faults 0 refused "testdev@$base" "$(memory)"
}

found_again() {
	echo 1 > /sys/bus/pci/rescan
	[ "$(driver_of "$victim")" = vtd_attack ] && is_mine
}

is_mine() {
	attack "$victim" allowed-write && [ "$(attack_word landed)" = 1 ] || { echo "$attacked"; return 1; }
	refused "$victim" "$(memory)"
}

functions_come_and_go() {
	before=$(domain_ids)
	for round in $(seq $FUNCTION_ROUNDS); do
		echo 7 > "$PCI/$pf/sriov_numvfs"
		[ "$(domain_ids)" = $((before + 7)) ] || { echo "$(domain_ids) domain ids, not 7 more than $before"; return 1; }
		echo 0 > "$PCI/$pf/sriov_numvfs"
		[ "$(domain_ids)" = "$before" ] || { echo "round $round: $(domain_ids) domain ids, not $before"; return 1; }
	done
	net_device "$pf" > /dev/null || { echo "$pf has lost its link"; return 1; }
}

# listed BDF DRIVER STATE: the list of users has this line.
listed() {
	grep -Eq "^$1 [0-9]+ $2 $3\$" /sys/kernel/vtd/users ||
		{ echo "wanted: $1 $2 $3"; grep "$1" /sys/kernel/vtd/users; return 1; }
}

# is_driven BDF DRIVER
is_driven() {
	unbind "$1"
	echo "$2" > "$PCI/$1/driver_override"
	echo "$1" > /sys/bus/pci/drivers_probe
	[ "$(driver_of "$1")" = "$2" ] || { echo "$1 is driven by $(driver_of "$1"), not $2"; return 1; }
}

# is_a_users BDF DRIVER: a user has the device, and the kernel's driver cannot bind to it.
is_a_users() {
	is_driven "$1" vfio-pci && listed "$1" vfio-pci DMA && hold "$mode" "$1" || return 1
	good=0
	listed "$1" vfio-pci unmanaged || good=1
	! sh -c "echo $1 > /sys/bus/pci/drivers/$2/bind" 2> /dev/null || { echo "$2 was bound"; good=1; }
	release_user
	listed "$1" vfio-pci DMA && return $good
}

disk_changes_hands() {
	give_to_user "$nvme" && take_back "$nvme" || return 1
	for round in $(seq $HAND_OVERS); do
		mode=$([ $((round % 2)) = 0 ] && echo type1 || echo iommufd)
		is_driven "$nvme" nvme && listed "$nvme" nvme DMA && disk=$(block_device "$nvme") &&
			dd if="/dev/$disk" of=/dev/null bs=256k count=8 iflag=direct 2> /dev/null &&
			is_a_users "$nvme" nvme || { echo "round $round"; return 1; }
	done
	is_driven "$nvme" nvme && disk_io "$nvme"
}

# From one test driver to the other, to a user, and to no driver.
test_device_changes_hands() {
	for round in $(seq $HAND_OVERS); do
		mode=$([ $((round % 2)) = 0 ] && echo type1 || echo iommufd)
		is_driven "$victim" vtd_attack && listed "$victim" vtd_attack DMA && is_mine &&
			is_driven "$victim" vtd_domain && listed "$victim" vtd_domain DMA &&
			is_a_users "$victim" vtd_attack || { echo "round $round"; return 1; }
		unbind "$victim"
		listed "$victim" - DMA && refused "$victim" "$(memory)" || { echo "round $round"; return 1; }
	done
	echo > "$PCI/$victim/driver_override"
	bind "$victim" vtd_attack && is_mine
}

many_binds() {
	echo "$victim" > "$PCI/$victim/driver/unbind" || return 1
	settle
	round_begins
	for tenth in 1 2 3 4 5 6 7 8 9 10; do
		for one in $(seq $((BINDS / 10))); do
			echo "$victim" > /sys/bus/pci/drivers/vtd_attack/bind &&
				echo "$victim" > /sys/bus/pci/drivers/vtd_attack/unbind || return 1
		done
		round_ends $tenth
	done
	bind "$victim" vtd_attack && is_mine
}

ktap_start 30
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
insmod "$VTD_TEST_MODULES/vtd_domain.ko" || ktap_abort "vtd_domain does not load"
payload $((4 << 20))
log_start
ids=$(domain_ids)
unit=$(unit_of "$victim")

ktap_check "a disk is in use" disk_works
mark "hotplug pulled begin"
ktap_check "pulled: removed after a request to the kernel" eval 'host unplug-nvme && is_present "$nvme" 0'
mark "hotplug pulled end"
ktap_check "pulled: its work ends with an error, no byte is wrong" fio_failed "$disk"
ktap_check "pulled: nothing of it is left" is_gone "$nvme"
ktap_check "pulled: plugged in again it works" put_back

ktap_check "removed under I/O and rescanned, three times" removed_under_io
mark "hotplug removed begin"
ktap_check "removed, a device that continues its DMA is refused" removed_and_requests
mark "hotplug removed end"
ktap_check "removed: the log names it as an unknown requester" \
	log_has "vtd: $unit: fault: requester $victim, which is not a device"
ktap_check "removed: a storm of it is refused, and soon no longer recorded, which is logged once" storms
ktap_check "rescanned, it reaches what is mapped for it and no more" found_again
ktap_check "rescanned, its faults are recorded" records_faults 1 refused "$victim" "$(memory)"
ktap_check "no domain-id was lost" test "$(domain_ids)" = "$ids"

echo 0 > "$PCI/$pf/sriov_drivers_autoprobe"
ktap_check "virtual functions are created and removed $FUNCTION_ROUNDS times" functions_come_and_go

mark "hotplug handed begin"
ktap_check "a disk moves from nvme to users and back, $HAND_OVERS times" disk_changes_hands
mark "hotplug handed end"
ktap_check "a test device moves between two drivers, users and no driver" test_device_changes_hands
ktap_check "no domain-id was lost over that" test "$(domain_ids)" = "$ids"

ktap_check "a driver is bound and unbound $BINDS times" many_binds
ktap_check "no domain-id was lost over that, either" test "$(domain_ids)" = "$ids"
ktap_check "after each tenth the same pages of tables" same_after_each 3 "$(value_of 1 3)"
check_exactly "after each tenth the same areas of vmalloc" same_after_each 5 "$(value_of 1 5)"
check_exactly "after each tenth at most $AROUND pages are missing" all_within $AROUND
check_exactly "from the first tenths to the last at most $GROWTH pages are lost" none_lost $GROWTH
check_exactly "from the first tenths to the last slabs grow by at most $SLABS pages" none_grown 2 10 $SLABS
echo "# pages gone: $(lost); slabs grew by $(grown 2 10)"
ktap_check "the disk is in use again" disk_works
mark "hotplug surprise begin"
ktap_check "by surprise: the disk is removed" pull_by_surprise
mark "hotplug surprise end"
ktap_check "by surprise: its work ends with an error, no byte is wrong" fio_failed "$disk"
ktap_check "by surprise: nothing of it is left" is_gone "$nvme"
ktap_check "by surprise: no request to the kernel came first" log_has "pciehp: .*(Card not present|Link Down)"
ktap_check "by surprise: plugged in again it works" put_back

ktap_check "no kernel warning" log_is_clean
ktap_end
