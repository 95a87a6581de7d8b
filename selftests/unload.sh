#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Unloading: refused with a list while a device is in use, clean once none is in use, and the
# module can be loaded again.
#
# Boots: ordinary*, client, many-devices, races
# Order: last
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"

DETACH=/sys/kernel/vtd/detach
USERS=/sys/kernel/vtd/users

detach_is_refused() {
	! sh -c "echo 1 > $DETACH" 2> /tmp/why || { echo "the detach was accepted"; return 1; }
	grep -qi busy /tmp/why || { cat /tmp/why; return 1; }
}

rmmod_is_refused() {
	! rmmod vtd 2> /dev/null || { echo "rmmod succeeded"; return 1; }
}

lists_users() {
	bad=0
	for pci_dev in "$PCI"/*; do
		bdf=${pci_dev##*/}
		driver=$(driver_of "$bdf")
		case $driver in
		none | pcieport) continue ;;
		esac
		grep -q "$bdf.*$driver" $USERS || { echo "$USERS does not list $bdf with $driver"; bad=1; }
	done
	[ $bad = 0 ] || cat $USERS
	return $bad
}

log_lists_users() {
	log_has 'vtd: .*(in use|used by|busy)' && log_has 'nvme' && log_has 'vtd_attack'
}

gone() {
	[ ! -e "$1" ] || { echo "$1 is still there"; return 1; }
}

no_groups() {
	for group in /sys/kernel/iommu_groups/*; do
		[ ! -e "$group" ] || { echo "group ${group##*/} is still there"; return 1; }
	done
}

nothing_claimed() {
	! grep -i vtd /proc/iomem && ! grep -i vtd /proc/interrupts && ! grep '^vtd ' /proc/modules
}

first_disk=$(echo "${VTD_DISKS:-}" | cut -d' ' -f1)

ktap_start 23
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
log_start
ktap_check "users lists every device with its driver" lists_users
units_before=$(all_units)
mark "unload refused begin"
ktap_check "a detach is refused while devices are in use" detach_is_refused
mark "unload refused end"
ktap_check "the log lists each device in use with its driver" log_lists_users
ktap_check "rmmod is refused while attached" rmmod_is_refused
still_works() {
	[ -z "$first_disk" ] || dd if="/dev/$(block_device "$first_disk")" of=/dev/null bs=1M count=8 iflag=direct
}
ktap_check "devices still work after the refusals" still_works
ktap_check "the devices' drivers unload" unload_drivers
mark "unload begin"
ktap_check "a detach is accepted once none is in use" sh -c "echo 1 > $DETACH"
ktap_check "rmmod" rmmod vtd
mark "unload end"
ktap_check "no unit in sysfs" test -z "$(all_units)"
ktap_check "no group is left" no_groups
ktap_check "no debugfs is left" gone /sys/kernel/debug/vtd
ktap_check "no /sys/kernel/vtd is left" gone /sys/kernel/vtd
ktap_check "no memory or interrupt is held" nothing_claimed
if [ -n "$first_disk" ]; then
	payload $((24 << 20))
	load_drivers
	ktap_check "a disk works without remapping" disk_io "$first_disk"
else
	ktap_skip "a disk works without remapping" "VTD_DISKS names none"
fi
unload_drivers
mark "reload begin"
ktap_check "it loads again" need_vtd
mark "reload end"
ktap_check "again the same units in sysfs" \
	eval '[ -n "$units_before" ] && [ "$(all_units)" = "$units_before" ]'
if [ -n "$first_disk" ]; then
	ktap_check "a disk works through it again" disk_io "$first_disk"
else
	ktap_skip "a disk works through it again" "VTD_DISKS names none"
fi
five_times() {
	for round in 1 2 3 4 5; do
		need_no_vtd && insmod "$VTD_KO" || { echo "round $round"; return 1; }
	done
}
ktap_check "five loads and unloads in a row" five_times
ktap_check "devices work after five loads and unloads" eval 'need_vtd && still_works'
# The module as make install leaves it, in a guest that has the file. By kmod: the modprobe of busybox
# does not know the "remove" of a configuration.
CONF=/guest/modprobe.conf
LIB=/lib/modules/$(uname -r)

installed() {
	mkdir -p "$LIB/updates" /etc/modprobe.d && cp "$VTD_KO" "$LIB/updates/vtd.ko" &&
		cp $CONF /etc/modprobe.d/vtd.conf && /sbin/depmod
}

modprobe_is_refused() {
	! /sbin/modprobe -r vtd 2> /tmp/why || { echo "vtd was removed"; return 1; }
	vtd_is_loaded && each_unit eval 'translates_at "$(unit_base "$unit")"'
}

# comes_and_goes: vtd is loaded by its name, and removed with a detach, twice.
comes_and_goes() {
	for round in 1 2; do
		/sbin/modprobe vtd && vtd_is_loaded || { echo "modprobe vtd: round $round"; return 1; }
		/sbin/modprobe -r vtd && ! vtd_is_loaded || { echo "modprobe -r vtd: round $round"; return 1; }
	done
	gone /sys/kernel/vtd && [ -z "$(all_units)" ]
}

if [ -e $CONF ]; then
	ktap_check "the module is installed for modprobe" installed
	ktap_check "modprobe -r is refused while devices are in use" modprobe_is_refused
	unload_drivers
	/sbin/modprobe -r vtd
	ktap_check "modprobe loads it, and modprobe -r detaches and removes it, twice" comes_and_goes
	rm -r "$LIB/updates" /etc/modprobe.d/vtd.conf
	/sbin/depmod
else
	for what in "the module is installed for modprobe" "modprobe -r is refused while devices are in use" \
		"modprobe loads it, and modprobe -r detaches and removes it, twice"; do
		ktap_skip "$what" "only in a guest: it writes to /lib/modules"
	done
fi
ktap_check "no kernel warning" log_is_clean
ktap_end
