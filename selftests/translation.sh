#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# debugfs iommu/intel/<device>/domain_translation_struct: what each device can reach, in the form
# of the in-tree driver, also while mappings are made and removed.
#
# Boots: three-levels, users*, first-stage
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"

SHOWN=/sys/kernel/debug/iommu/intel
device=${VTD_DISKS%% *}

file_of() {
	echo "$SHOWN/$1/domain_translation_struct"
}

each_device_has_one() {
	for bdf in $(served); do
		[ -f "$(file_of "$bdf")" ] || { echo "there is no $(file_of "$bdf")"; return 1; }
	done
	for folder in "$SHOWN"/*:*; do
		served | grep -q "^${folder##*/}$" || { echo "$folder is no device's"; return 1; }
	done
}

# well_formed FILE: the heading, then lines of a page number and 3 to 5 entries,
# of which the first is absent in 4 levels; page numbers ascend and the last
# entry, a leaf, lets the device read or write.
well_formed() {
	# Second stage: R or W. First stage: P and U/S.
	if [ "$(stage_of "$1")" = first ]; then permits='[57]$'; else permits='[12367abef]$'; fi
	awk -v bdf="$1" -v permits="$permits" '
		function bad(why) { printf "line %d: %s: %s\n", NR, why, $0; failed = 1; exit }
		NR == 1 { if ($0 !~ "^Device " bdf " @0x[0-9a-f]+$") bad("not this device") ; next }
		NR == 2 { if ($0 !~ /^IOVA_PFN +\tPML5E +\tPML4E +\tPDPE +\tPDE +\tPTE$/) bad("not the heading"); next }
		NF < 5 || NF > 7 || $2 != "|" { bad("not a leaf") }
		$1 !~ /^0x[0-9a-f]{13}$/ { bad("not a page number") }
		$1 <= last { bad("not above the line before") }
		{ last = $1
		  for (i = 3; i <= NF; i++) if ($i !~ /^0x[0-9a-f]{16}$/) bad("not an entry")
		  if ($NF !~ permits) bad("not a leaf that lets anything through") }
		END { if (!failed && NR < 3) { print NR " lines"; failed = 1 }; exit failed }'
}

disk_is_shown() {
	cat "$(file_of "$device")" > /tmp/shown
	well_formed "$device" < /tmp/shown
}

# A reader may read one byte at a time; the result must have the same form.
in_pieces() {
	dd if="$(file_of "$device")" of=/tmp/pieces bs=7 2> /dev/null
	head -n 2 /tmp/pieces > /tmp/heading
	head -n 2 /tmp/shown | diff - /tmp/heading && well_formed "$device" < /tmp/pieces
}

# Reads while the disk works, whose driver maps and unmaps all the time.
read_under_load() {
	disk_io "$device" > /tmp/io 2>&1 &
	worker=$!
	readings=0
	while kill -0 $worker 2> /dev/null; do
		cat "$(file_of "$device")" > /tmp/reading
		readings=$((readings + 1))
		well_formed "$device" < /tmp/reading || { cat /tmp/reading; wait; return 1; }
	done
	wait $worker || { cat /tmp/io; return 1; }
	[ $readings -ge 3 ] || { echo "only $readings readings came about"; return 1; }
}

# Reads while large pages replace tables and tables large pages, and while the device is attached
# and detached. Another test of the kernel module compares the contents; here every line must be
# whole, and no freed memory is read.
read_while_tables_go() {
	rmmod vtd_attack
	insmod "$VTD_TEST_MODULES/vtd_domain.ko" || return 1
	rm -f /tmp/enough
	{
		until [ -e /tmp/enough ]; do
			for scenario in resize map-mixed map-2m request-over-small unmap-mixed; do
				echo $scenario > /sys/kernel/debug/vtd_domain/run
				cat /sys/kernel/debug/vtd_domain/run
			done
		done
	} > /tmp/played &
	worker=$!
	readings=0
	bad=0
	for try in $(seq $((200 * PATIENCE))); do
		for bdf in $(attackers); do
			cat "$(file_of "$bdf")" > /tmp/reading
			[ "$(wc -l < /tmp/reading)" -le 2 ] && continue
			readings=$((readings + 1))
			grep -v 'another domain now' /tmp/reading | well_formed "$bdf" ||
				{ cat /tmp/reading; bad=1; }
		done
		[ $readings -lt 8 ] && [ $bad = 0 ] || break
	done
	touch /tmp/enough
	wait $worker
	rmmod vtd_domain
	load_drivers
	! grep -v '^ok$' /tmp/played || return 1
	[ $bad = 0 ] && [ $readings -ge 3 ] || { echo "$readings readings with lines"; return 1; }
}

[ -n "$device" ] || ktap_skip_all "VTD_DISKS names no disk that may be overwritten"
ktap_start 8
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
log_start
block_device "$device" > /dev/null
payload $((24 << 20))
ktap_check "each device behind a unit has a file, and no other" each_device_has_one
ktap_check "a disk's queues are shown" disk_is_shown
ktap_check "reading in small pieces gives the same form" in_pieces
ktap_check "every reading is whole while the disk works" read_under_load
ktap_check "every reading is whole while tables are added and removed" read_while_tables_go
if [ "$VTD_KO" = none ]; then
	ktap_skip "the files are removed when the driver is unloaded" "the kernel's own driver cannot be unloaded"
	ktap_skip "they are back when it is loaded" "the kernel's own driver cannot be unloaded"
else
	all_gone() {
		need_no_vtd && [ -z "$(ls -d "$SHOWN"/*:* 2> /dev/null)" ] || { ls "$SHOWN"; return 1; }
	}
	ktap_check "the files are removed when the driver is unloaded" all_gone
	ktap_check "they are back when it is loaded" eval 'need_vtd && each_device_has_one'
fi
ktap_check "no kernel warning" log_is_clean
ktap_end
