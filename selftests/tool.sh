#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The program vtd on a live machine: what it says of a device is what sysfs and debugfs say; the
# ranges of a device are all of its leaves; give and take hand a device over and back; doctor
# refuses nothing. The program is /selftests/vtd.
#
# Boots: isolation
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"

VTD=$(dirname "$0")/vtd
INTEL=/sys/kernel/debug/iommu/intel

[ -x "$VTD" ] || ktap_skip_all "the program vtd is not here"
edu=$(pci_by_id 0x1234:0x11e8 | head -n1)
testdev=$(pci_by_id 0x1b36:0x0005 | head -n1)
[ -n "$edu" ] && [ -n "$testdev" ] || ktap_skip_all "edu and iommu-testdev are not both there"

# says PATTERN COMMAND...: what the program prints, in one line, has this pattern.
says() {
	pattern=$1
	shift
	"$VTD" "$@" > /tmp/said 2>&1
	tr -s '\n ' '  ' < /tmp/said | grep -Eq -- "$pattern" || { cat /tmp/said; return 1; }
}

# value NAME: prints a value of the last JSON, without quotes.
value() {
	sed -n "s/^  \"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p" /tmp/json
}

# agrees: for each device, group, driver and unit are those of sysfs.
agrees() {
	devices=0
	for device in "$PCI"/*; do
		bdf=${device##*/}
		"$VTD" --json why "$bdf" > /tmp/json || return 1
		group=$(basename "$(readlink "$device/iommu_group" || echo null)")
		driver=$(driver_of "$bdf")
		unit=$(basename "$(readlink "$device/iommu" || echo null)")
		[ "$(value group)" = "$group" ] && [ "$(value unit)" = "$unit" ] &&
			[ "$(value driver | sed 's/^null$/none/')" = "$driver" ] ||
			{ echo "$bdf: group $group, driver $driver, unit $unit"; cat /tmp/json; return 1; }
		devices=$((devices + 1))
	done
	[ $devices -gt 5 ]
}

# has_all_leaves: the pages of the ranges are the leaves of the tables.
has_all_leaves() {
	total=0
	for device in "$PCI"/*; do
		bdf=${device##*/}
		[ -e $INTEL/"$bdf" ] || continue
		"$VTD" --json maps "$bdf" > /tmp/json || return 1
		pages=$(sed -n 's/.*"pages_[124][kmg]": \([0-9]*\).*/\1/p' /tmp/json | awk '{ sum += $1 } END { print sum + 0 }')
		leaves=$(grep -c '|' $INTEL/"$bdf"/domain_translation_struct)
		[ "$pages" = "$leaves" ] || { echo "$bdf: $pages pages, $leaves leaves"; return 1; }
		total=$((total + leaves))
	done
	[ $total -gt 20 ] || { echo "only $total leaves"; return 1; }
}

# grouped: prints the last edu whose group has other devices, too.
grouped() {
	for bdf in $(pci_by_id 0x1234:0x11e8); do
		[ "$(ls "$PCI/$bdf/iommu_group/devices" | wc -l)" = 1 ] || echo "$bdf"
	done | tail -n1
}

# given_and_taken BDF: vfio-pci gets it by the program, and its driver gets it back.
given_and_taken() {
	modprobe vfio-pci || return 1
	before=$(driver_of "$1")
	"$VTD" give "$1" > /tmp/said || return 1
	[ "$(driver_of "$1")" = "$before" ] || { echo "the dry run changed its driver"; return 1; }
	"$VTD" give --yes --force "$1" || return 1
	[ "$(driver_of "$1")" = vfio-pci ] || { echo "it has $(driver_of "$1")"; return 1; }
	says "not given away|driver_override" take "$1" || return 1
	"$VTD" take --yes "$1" || return 1
	[ "$(driver_of "$1")" = "$before" ] || { echo "it has $(driver_of "$1"), not $before"; return 1; }
}

# is_left_alone BDF: a driver that refuses it leaves the device as it was.
is_left_alone() {
	before=$(driver_of "$1")
	! "$VTD" give --yes --force --driver nonexistent "$1" || return 1
	[ "$(driver_of "$1")" = "$before" ] && grep -q '(null)' "$PCI/$1/driver_override" ||
		{ driver_of "$1"; cat "$PCI/$1/driver_override"; return 1; }
}

# sees_a_change: a dump differs from the machine after an attack, in the device's faults.
sees_a_change() {
	"$VTD" save /tmp/before.tar || return 1
	attack "$edu" unmapped > /dev/null
	sleep 1
	says "$edu .*faults \+[0-9]+" diff /tmp/before.tar
}

follows_faults() {
	"$VTD" faults -f > /tmp/followed & follower=$!
	sleep 1
	attack "$edu" never-mapped > /dev/null
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		sleep 1
		grep -q "$(attack_word iova)" /tmp/followed && break
	done
	kill $follower
	grep -q "$(attack_word iova)" /tmp/followed || { cat /tmp/followed; return 1; }
}

# is_drawn: the tree has every device behind a unit once, with its driver.
is_drawn() {
	"$VTD" tree --svg /tmp/machine.svg > /tmp/tree || return 1
	for device in "$PCI"/*; do
		[ -e "$device/iommu" ] || continue
		bdf=${device##*/}
		driver=$(driver_of "$bdf")
		[ "$driver" != none ] || driver="no driver"
		[ "$(grep -c "─ $bdf .* $driver " /tmp/tree)" = 1 ] && grep -q ">$bdf<" /tmp/machine.svg ||
			{ echo "$bdf, $driver"; cat /tmp/tree; return 1; }
	done
}

# walks: the walk is the one that debugfs has for this request.
walks() {
	"$VTD" walk "$edu" 0x12345000 > /tmp/walk || return 1
	echo "$edu 0x12345000" > /sys/kernel/debug/vtd/walk && cmp /tmp/walk /sys/kernel/debug/vtd/walk
}

# is_kept: the devices that unload names are those for which a detach is refused.
is_kept() {
	"$VTD" --json unload > /tmp/json
	[ $? = 1 ] || { cat /tmp/json; return 1; }
	sed -n 's/^ *"device": "\(.*\)",$/\1/p' /tmp/json | sort > /tmp/kept
	before=$(dmesg | wc -l)
	! echo 1 > /sys/kernel/vtd/detach 2> /tmp/said || return 1
	dmesg | tail -n +$((before + 1)) > /tmp/log
	grep -E ' in use( by|:)' /tmp/log | grep -o '[0-9a-f]*:[0-9a-f]*:[0-9a-f]*\.[0-7]' | sort > /tmp/refused
	[ -s /tmp/kept ] && cmp /tmp/kept /tmp/refused || { cat /tmp/json /tmp/log; return 1; }
}

ktap_start 15
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
log_start
ktap_check "each device has the group, driver and unit that sysfs shows" agrees
ktap_check "the ranges of each device are all of its leaves" has_all_leaves
ktap_check "the port that joins a group is named" says "because of - .*(ACS|conventional PCI)" \
	why "$(grouped)"
ktap_check "a device is given and taken back" given_and_taken "$testdev"
ktap_check "a device that no driver takes is left as it was" is_left_alone "$testdev"
ktap_check "a refused request is in the difference to a dump" sees_a_change
ktap_check "faults are printed when they come" follows_faults
ktap_check "a fault is explained" says "$edu .* refused: the page is not mapped .*reason 0x$(reason_of "$edu" write)" faults
ktap_check "doctor reads the kernel's table" says "vtd's parser takes it" doctor
what="doctor shows what firmware says of ATS and of memory near to a unit"
if [ "$(cmdline guest.machine)" = server ]; then
	ktap_check "$what" says "\(RHSA\).*\(ATSR\).*\(SATC\)" doctor
else
	ktap_skip "$what" "this machine's firmware says nothing of that"
fi
ktap_check "what keeps the module loaded is named" is_kept
ktap_check "the tree and the picture have every device of a unit" is_drawn
ktap_check "an address is walked" walks
ktap_check "counters are read" says "^unit .* $(unit_of "$edu") .* %" top -n 1 -i 0.5
ktap_check "no kernel warning" log_is_clean
ktap_end
