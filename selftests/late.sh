#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Loading when devices already have drivers. bound=0 refuses. bound=1 leaves the devices in
# pass-through until they are removed and rescanned. bound=2 unbinds their drivers and binds them
# again behind the unit. Disks are in use throughout, and the drivers of ports stay bound. Boot
# with panic_on_warn=1, so that no warning can be overlooked.
#
# Boots: late
# Order: first
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/fio.sh"

# functions_of DRIVER: prints the PCI functions that it drives.
functions_of() {
	for link in "/sys/bus/pci/drivers/$1"/0000:*; do
		[ ! -e "$link" ] || basename "$link"
	done
}

# Disks behind no unit continue to work, whatever happens to the other disks.
is_free() {
	case $(readlink -f "$PCI/$1") in
	*/pci0000:40/*) return 0 ;;
	*) return 1 ;;
	esac
}

find_disks() {
	modprobe nvme && modprobe virtio_pci && modprobe virtio_blk || return 1
	nvme="" free=""
	for bdf in $(functions_of nvme); do
		if is_free "$bdf"; then free=$bdf; else nvme=${nvme:-$bdf}; fi
	done
	disk=$(block_device "$nvme") && virtio_disk=$(block_device "$virtio") || return 1
	[ -z "$free" ] || free_disk=$(block_device "$free")
}

# ports: prints each port with its driver and its services (hot-plug, errors).
ports() {
	for port in $(functions_of pcieport); do
		echo "$port" "$PCI/$port"/*:pcie*
	done
}

ports_have_their_drivers() {
	[ -n "$(ports)" ] || { echo "no port has a driver"; return 1; }
	ports | diff /tmp/ports -
}

# bridges: prints the byte of their command registers that has the bus master bit.
bridges() {
	for bridge in $(for dev in "$PCI"/*; do
		case $(cat "$dev/class") in 0x0604*) echo "${dev##*/}" ;; esac
	done); do
		echo "$bridge" "$(od -An -v -tu1 -j 4 -N 1 "$PCI/$bridge/config" | tr -d ' ')"
	done
}

# all_are_masters: sets the bit in all bridges, as drivers of devices below them do when bound.
all_are_masters() {
	bridges | while read -r bridge command; do
		printf "\\$(printf %03o $((command | 4)))" |
			dd of="$PCI/$bridge/config" bs=1 seek=4 conv=notrunc 2> /dev/null
	done
	bridges > /tmp/bridges
	[ -s /tmp/bridges ] || { echo "there is no bridge"; return 1; }
	! awk '{ print int($2 / 4) % 2 }' /tmp/bridges | grep -q 0 || { cat /tmp/bridges; return 1; }
}

bridges_are_masters() {
	bridges | diff /tmp/bridges -
}

# Unloads the drivers of all devices that are not in use.
unload_others() {
	for driver in vtd_attack vtd_devices e1000e igb; do
		! grep -q "^$driver " /proc/modules || rmmod "$driver" || return 1
	done
}

is_refused() {
	! insmod "$VTD_KO" "$@" 2> /dev/null || { echo "it was loaded"; return 1; }
}

# After a rescan the disk may have another name.
removed_and_found() {
	fio_ends "$disk" || return 1
	echo 1 > "$PCI/$nvme/remove"
	! grep -q "$nvme" /sys/kernel/vtd/users || { echo "it is still listed"; return 1; }
	echo 1 > /sys/bus/pci/rescan
	disk=$(block_device "$nvme")
}

is_listed_untranslated() {
	grep -q "$1 -1 $2 untranslated" /sys/kernel/vtd/users || { cat /sys/kernel/vtd/users; return 1; }
}

ktap_start 42
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
virtio=$(pci_by_id 0x1af4:0x1042 | head -n1)
find_disks || ktap_skip_rest "no NVMe and virtio disks to bind drivers to"
fio_is_there || ktap_skip_rest "there is no fio"
payload $((4 << 20))
ports > /tmp/ports
log_start
ktap_check "a warning would end this machine" grep -qw panic_on_warn=1 /proc/cmdline
ktap_check "bound=7 is refused" is_refused bound=7
ktap_check "bound=7: the log names the valid values" log_has "bound=7 is not valid: give 0.*1.*2"

# --- refuse ---
log_start
fio_starts "$disk" > /tmp/need 2>&1 && fio_starts "$virtio_disk" >> /tmp/need 2>&1 ||
	ktap_abort "fio does not start: $(cat /tmp/need)"
ktap_check "bound=0: refused while disks are in use" is_refused
ktap_check "bound=0: the log names them" eval \
	'log_has "$nvme is in use by driver nvme" && log_has "$virtio is in use by driver virtio-pci"'
ktap_check "bound=0: the log says what to do" log_has "bound=1.*bound=2"
ktap_check "bound=0: their work continues" eval 'fio_goes_on "$disk" && fio_goes_on "$virtio_disk"'
ktap_check "bound=0: ports have their drivers" ports_have_their_drivers

# --- adopt ---
ktap_check "all bridges let DMA of devices below pass" all_are_masters
log_start
mark "late adopt begin"
ktap_check "bound=1: the driver loads while disks are in use" load_vtd bound=1
ktap_check "bound=1: their work continues" eval 'fio_goes_on "$disk" && fio_goes_on "$virtio_disk"'
mark "late adopt end"
ktap_check "bound=1: ports have their drivers" ports_have_their_drivers
ktap_check "bound=1: bridges let DMA pass as before" bridges_are_masters
ktap_check "bound=1: the log says what that means" log_has "$nvme: left in pass-through"
ktap_check "bound=1: the list of users says so" eval \
	'is_listed_untranslated "$nvme" nvme && is_listed_untranslated "$virtio" virtio-pci'
ktap_check "bound=1: the disk is in no group" test ! -e "$PCI/$nvme/iommu_group"
ktap_check "bound=1: other devices are translated" load_drivers
ktap_check "bound=1: a detach is accepted while they are in use" eval \
	'unload_others && echo 1 > /sys/kernel/vtd/detach && rmmod vtd'
ktap_check "bound=1: their work continues without the driver" eval \
	'fio_goes_on "$disk" && fio_goes_on "$virtio_disk"'
ktap_check "bound=1: their work continues under the driver loaded again" eval \
	'load_vtd bound=1 && fio_goes_on "$disk" && fio_goes_on "$virtio_disk"'
ktap_check "bound=1: no byte was lost on virtio" fio_ends "$virtio_disk"
ktap_check "bound=1: no byte was lost on NVMe; removed, it is no longer listed, and a rescan finds it" removed_and_found
ktap_check "rescanned, the disk is translated" test "$(group_type "$nvme")" = DMA
mark "late found begin"
ktap_check "rescanned, the disk works" disk_io "$nvme"
mark "late found end"
ktap_check "bound=1: no kernel warning" log_is_clean
ktap_check "the driver that adopted devices unloads" need_no_vtd

# --- rebind ---
find_disks
fio_starts "$disk" > /tmp/need 2>&1 || ktap_abort "fio does not start: $(cat /tmp/need)"
[ -z "$free" ] || fio_starts "$free_disk"
log_start
mark "late rebind begin"
ktap_check "bound=2: the driver loads" load_vtd bound=2
mark "late rebind end"
ktap_check "bound=2: the log names what is unbound" log_has "$nvme: driver nvme is unbound"
ktap_check "bound=2: work on an unbound disk ends with an error, no byte wrong" fio_failed "$disk"
if [ -n "$free" ]; then
	ktap_check "bound=2: work behind no unit continues" fio_goes_on "$free_disk"
	ktap_check "bound=2: no byte of it was lost" fio_ends "$free_disk"
	ktap_check "bound=2: that disk kept its driver" eval '! log_since | grep "$free: driver"'
else
	for what in "work behind no unit continues" "no byte of it was lost" "that disk kept its driver"; do
		ktap_skip "bound=2: $what" "there is no NVMe disk behind no unit"
	done
fi
ktap_check "bound=2: the disk has its driver again" test "$(driver_of "$nvme")" = nvme
ktap_check "bound=2: the disk is translated" test "$(group_type "$nvme")" = DMA
ktap_check "bound=2: the other disk is translated" test "$(group_type "$virtio")" = DMA
ktap_check "bound=2: the disk works" disk_io "$nvme"
ktap_check "bound=2: the other disk works" disk_io "$virtio"
ktap_check "bound=2: ports have their drivers" ports_have_their_drivers
ktap_check "bound=2: bridges let DMA pass as before" bridges_are_masters
ktap_check "bound=2: no kernel warning" log_is_clean
ktap_check "bound=2: the driver unloads" need_no_vtd
ktap_check "ports have their drivers at the end" ports_have_their_drivers
ktap_end
