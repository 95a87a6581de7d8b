#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Loading when devices already have drivers: bound=1 lets them run on
# untranslated until they are removed and found anew, bound=2 releases their
# drivers and attaches them again behind the unit.
. "$(dirname "$0")/ktap.sh"
. "$(dirname "$0")/lib.sh"

# The PCI function of the NVMe disk, once its driver is bound.
nvme_function() {
	basename "$(dirname "$(ls -d "$PCI"/*/nvme 2>/dev/null | head -n1)")"
}

# io_goes_on DISK: writes and reads back, past every cache, until /tmp/io-stop
# appears; /tmp/io-wrong says what went wrong, /tmp/io-rounds how often it went well.
io_goes_on() {
	rm -f /tmp/io-stop /tmp/io-wrong
	echo 0 > /tmp/io-rounds
	while [ ! -e /tmp/io-stop ]; do
		dd if=/tmp/payload of="/dev/$1" bs=1M oflag=direct conv=notrunc 2> /dev/null &&
			dd if="/dev/$1" bs=1M count="$megabytes" iflag=direct 2> /dev/null |
			cmp - /tmp/payload > /tmp/io-wrong 2>&1 ||
			{ echo "round $(cat /tmp/io-rounds) failed" >> /tmp/io-wrong; return; }
		echo $(($(cat /tmp/io-rounds) + 1)) > /tmp/io-rounds
	done
}

io_ends() {
	touch /tmp/io-stop
	wait "$1"
	[ ! -s /tmp/io-wrong ] || { cat /tmp/io-wrong; return 1; }
}

# rounds_since COUNT: at least two whole rounds began and ended after that.
rounds_since() {
	for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		[ "$(cat /tmp/io-rounds)" -ge $(($1 + 2)) ] && return 0
		sleep 0.5
	done
	echo "I/O made $(($(cat /tmp/io-rounds) - $1)) rounds, not 2"
	return 1
}

loaded_with() {
	insmod "$VTD_KO" "$@" || { dmesg | tail -n 20; return 1; }
}

ktap_start 22
megabytes=4
dd if=/dev/urandom of=/tmp/payload bs=1M count="$megabytes" 2> /dev/null
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
modprobe nvme
nvme=$(nvme_function)
[ "$(driver_of "$nvme")" = nvme ] || ktap_skip_rest "no NVMe disk to bind a driver to"
disk=$(block_device "$nvme")

log_start
ktap_check "bound=7 is refused" sh -c '! insmod "$0" bound=7 2> /dev/null' "$VTD_KO"
ktap_check "bound=7: the log names the values there are" log_has "bound=7 is none of 0.*1.*2"

log_start
mark "late adopt begin"
io_goes_on "$disk" &
io=$!
sleep 1
ktap_check "bound=1: the driver loads while the disk is at work" loaded_with bound=1
mark "late adopt end"
ktap_check "bound=1: the disk's work goes on" rounds_since "$(cat /tmp/io-rounds)"
ktap_check "bound=1: not one byte was lost" io_ends "$io"
ktap_check "bound=1: the log says what that means" log_has "$nvme: runs on untranslated"
ktap_check "bound=1: the list of users says so" grep -q "$nvme -1 nvme untranslated" \
	/sys/kernel/vtd/users
ktap_check "bound=1: the core was not told of the disk" test ! -e "$PCI/$nvme/iommu_group"
ktap_check "bound=1: other devices are translated" load_drivers
ktap_check "bound=1: no kernel warning" log_is_clean

echo 1 > "$PCI/$nvme/remove"
ktap_check "removed, an adopted disk is forgotten" sh -c '! grep -q untranslated /sys/kernel/vtd/users'
echo 1 > /sys/bus/pci/rescan
disk=$(block_device "$nvme")
ktap_check "found anew, the disk is translated" test "$(group_type "$nvme")" = DMA
ktap_check "found anew, the disk works" disk_io "$nvme"
ktap_check "found anew: no kernel warning" log_is_clean
ktap_check "what had adopted leaves" need_no_vtd

modprobe nvme
nvme=$(nvme_function)
log_start
mark "late rebind begin"
ktap_check "bound=2: the driver loads" loaded_with bound=2
mark "late rebind end"
ktap_check "bound=2: the log names what is released" log_has "$nvme: driver nvme is released"
ktap_check "bound=2: the disk has its driver again" test "$(driver_of "$nvme")" = nvme
ktap_check "bound=2: the disk is translated" test "$(group_type "$nvme")" = DMA
ktap_check "bound=2: the disk works" disk_io "$nvme"
ktap_check "bound=2: no kernel warning" log_is_clean
ktap_check "bound=2: the driver leaves when asked to" need_no_vtd
ktap_end
