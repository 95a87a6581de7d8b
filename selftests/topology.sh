#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Devices in places other than the first root bus: behind a conventional bridge, which substitutes
# its own requester ID for theirs; on another root bus; behind no unit. And a device that sends
# requests as a function that it does not have.
#
# Boots: other-topologies, scalable-places
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"

need_memory

# Only one bridge to a conventional bus has test devices behind it; a port has one device.
bridge=
for bdf in $(attackers); do
	upstream=$(basename "$(dirname "$(readlink -f "$PCI/$bdf")")")
	case $upstream in
	0000:*) [ "$(behind "$upstream" | wc -l)" -lt 2 ] || bridge=$upstream ;;
	esac
done
far=
for pci_dev in "$PCI"/*; do
	[ "$(cat "$pci_dev/class")" = 0x010802 ] || continue
	case $(readlink -f "$pci_dev") in
	*/pci0000:00/*) ;;
	*) far=${pci_dev##*/} ;;
	esac
done
# The root bus that bypasses the unit.
free=
for bdf in $(attackers); do
	case $(readlink -f "$PCI/$bdf") in
	*/pci0000:40/*) free=$bdf ;;
	esac
done
[ -n "$bridge" ] && [ -n "$far" ] && [ -n "$free" ] ||
	ktap_skip_all "no device of ours behind a bridge ($bridge), on another root bus ($far), behind no unit ($free)"

same_group() {
	for bdf in $(behind "$bridge"); do
		[ "$(group_of "$bdf")" = "$(group_of "$bridge")" ] ||
			{ echo "$bdf is in group $(group_of "$bdf"), its bridge in $(group_of "$bridge")"; return 1; }
	done
	[ -n "$(group_of "$bridge")" ]
}

# refused_for_disk: a load is refused because a disk has its driver.
refused_for_disk() {
	log_start
	! insmod "$VTD_KO" bound=0 2> /dev/null || { echo "loaded"; return 1; }
	log_has "vtd: $far is in use by driver nvme" && log_has "vtd: not loaded: [0-9]+ device\(s\) .* have drivers"
}

# bridge_goes: a refused load reads how each device and bridge is connected. The debug kernel
# detects a read of one that has been freed.
bridge_goes() {
	need_no_vtd && modprobe nvme || return 1
	rm -f /tmp/loads
	(rounds=0
	until [ -e /tmp/loads ] && [ $rounds -ge 8 ]; do
		echo 1 > "$PCI/$bridge/remove"
		echo 1 > /sys/bus/pci/rescan
		rounds=$((rounds + 1))
	done) &
	remover=$!
	refused_for_disk && refused_for_disk && refused_for_disk
	loads=$?
	touch /tmp/loads
	wait $remover
	[ $loads = 0 ] || return 1
	[ -e "$PCI/$bridge" ] || { echo "the bridge did not come back"; return 1; }
}

strike_lands() {
	attack "$1" "$2" && echo "$attacked" && [ "$(attack_word landed)" = 1 ]
}

strike_refused() {
	attack "$1" "$2" && echo "$attacked" &&
		[ "$(attack_word landed)$(attack_word intact)$(attack_word error)" = 010 ]
}

# A device, and a requester ID that a quirk adds to its own.
QUIRKED=0000:00:06.0
ALIAS=00:06.1

# entry_of REQUESTER: prints what the context entry lets it reach, in the device's unit.
entry_of() {
	sed -n "s/^  $1 \(.*\), [0-9]* device(s).*/\1/p" "$contexts"
}

alias_reaches_the_same() {
	[ -n "$(entry_of $ALIAS)" ] && [ "$(entry_of $ALIAS)" = "$(entry_of ${QUIRKED#0000:})" ] ||
		{ cat "$contexts"; return 1; }
}

alias_reaches_nothing() {
	case $(entry_of $ALIAS) in
	"" | blocked*) ;;
	*) cat "$contexts"; return 1 ;;
	esac
}

remove_quirked() {
	echo 1 > "$PCI/$QUIRKED/remove" && alias_reaches_nothing
}

# After a rescan it is another device for the kernel, and no quirk applies to it.
find_quirked() {
	echo 1 > /sys/bus/pci/rescan
	[ -n "$(entry_of ${QUIRKED#0000:})" ] && alias_reaches_nothing
}

# The requester ID that the bridge substitutes for those behind it, and the devices that share it.
alias=
shared_by() {
	for bdf in $(behind "$bridge"); do
		printf ', %s driver vtd_attack' "$bdf"
	done | sed 's/^, //'
}

names_all() {
	log_start
	records_faults 1 strike_refused "$testdev" never-mapped &&
		log_has "fault: requester $alias \(bridge $bridge, shared by 2 devices: $(shared_by), group $(group_of "$bridge"), owner kernel\) write of" &&
		! log_since | grep -E "fault: (device|[0-9]+ more faults of) ($others)"
}

# Each device has its own limit of lines: the window of the storm has to end first.
storm_is_logged() {
	sleep 6
	log_start
	attack "$testdev" storm || return 1
	log_has "fault: requester $alias raised 1000 faults within [0-9]+ ms: .*\(bridge $bridge, shared by 2 devices: $(shared_by)\).*no longer recorded, whichever of these devices"
}

is_counted() {
	grep -Eq "^$bridge faults=[0-9]{4,} .* recorded=$1\$" /sys/kernel/debug/vtd/faults &&
		! grep -E "^($others) faults" /sys/kernel/debug/vtd/faults ||
		{ cat /sys/kernel/debug/vtd/faults; return 1; }
}

# attached_again: attaches the whole group to another domain and back.
attached_again() {
	sleep 6
	log_start
	for bdf in $(behind "$bridge"); do
		unbind "$bdf"
	done
	set_type "$bridge" identity && set_type "$bridge" DMA || return 1
	for bdf in $(behind "$bridge"); do
		bind "$bdf" vtd_attack || return 1
	done
	log_has "vtd: .*its faults are recorded again" &&
		[ "$(log_since | grep -c 'faults are recorded again')" = 1 ] || { log_since; return 1; }
}

# Buses without devices: the bridge may use their requester IDs, and sweeps them.
SWEPT_FIRST=0x50
SWEPT_LAST=0xff
# Log lines of all unknown requesters of a unit within five seconds, see src/core/fault_limit.rs.
UNKNOWN_LINES=27

# sweep ROUNDS: sets swept to the number of faults recorded of it.
sweep() {
	before=$(faults_recorded) || return 1
	"$PROGRAMS/raw_sweep" "$bridge" "$base" "$(memory)" $SWEPT_FIRST $SWEPT_LAST "$1" || return 1
	after=$(settled faults_recorded) || return 1
	swept=$((after - before))
	echo "$swept faults recorded"
}

# The kernel has removed everything behind the bridge; the device itself still has power.
removed() {
	base=$(cut -d' ' -f1 "$PCI/$testdev/resource" | head -n1)
	unbind "$testdev"
	refused "$testdev" "$(memory)" || return 1
	for bdf in $(behind "$bridge"); do
		echo 1 > "$PCI/$bdf/remove"
	done
	refused "testdev@$base" "$(memory)"
}

# Enough rounds that recording is off for each bus; then one more.
sweep_ends() {
	sleep 6
	log_start
	began=$(cut -d. -f1 /proc/uptime)
	sweep 2 && log_has "fault: more than 64 unknown requesters raise faults at the same time" || return 1
	# A fault is lost if it occurs before the previous one was read.
	sweep 4 && sweep 1 && [ $swept -le 4 ] || { echo "recording continues: $swept faults were recorded"; return 1; }
	windows=$((2 + ($(cut -d. -f1 /proc/uptime) - began) / 5))
	lines=$(log_since | grep -c 'vtd: ')
	[ "$lines" -le $((windows * UNKNOWN_LINES)) ] || { echo "$lines lines of the log"; return 1; }
}

ktap_start 30
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
insmod "$VTD_TEST_MODULES/vtd_alias.ko" device=0x30 alias=0x31 || ktap_abort "no requester ID was added"
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
contexts=/sys/kernel/debug/vtd/$(unit_of $QUIRKED)/contexts
ktap_check "a requester ID that a quirk adds reaches what its device reaches" alias_reaches_the_same
ktap_check "it is removed with its device" remove_quirked
ktap_check "it is not added again without the quirk" find_quirked
payload $((24 << 20))
ktap_check "devices behind a conventional bridge share its group" same_group
for bdf in $(behind "$bridge"); do
	log_start
	ktap_check "$bdf behind the bridge: allowed-write lands" strike_lands "$bdf" allowed-write
	ktap_check "$bdf behind the bridge: read-only is refused" strike_refused "$bdf" read-only
	ktap_check "$bdf behind the bridge: unmapped is refused" strike_refused "$bdf" unmapped
	ktap_check "$bdf behind the bridge: the refusal is reported" log_has "fault: .*reason 0x$(reason_of "$bdf" write present)"
done
testdev=$(pci_by_id 0x1b36:0x0005 | while read -r bdf; do
	[ "$(basename "$(dirname "$(readlink -f "$PCI/$bdf")")")" != "$bridge" ] || echo "$bdf"
done)
edu=0000:00:05.0
others=$(behind "$bridge" | tr '\n' '|' | sed 's/|$//')
alias=$(printf '0000:%02x:00.0' "$(word "$bridge" 25 1)")
sleep 6
ktap_check "a report names the requester ID, the bridge and both devices that share it" names_all
ktap_check "a storm of one names the others that are no longer recorded" storm_is_logged
ktap_check "it is counted for the bridge" is_counted no
for bdf in $(behind "$bridge"); do
	ktap_check "then no fault of $bdf is recorded" records_faults 0 strike_refused "$bdf" never-mapped
done
ktap_check "a fault of a device elsewhere is recorded" records_faults 1 strike_refused $edu never-mapped
ktap_check "after another attach they are recorded, which is logged once" attached_again
ktap_check "faults of that device are recorded" records_faults 1 strike_refused "$testdev" never-mapped
ktap_check "the faults of the bridge are counted" is_counted yes
ktap_check "removed from the kernel, the devices behind the bridge reach nothing" removed
ktap_check "a device that sweeps requester IDs soon fills neither records nor log" sweep_ends
ktap_check "the fault of another device is recorded" records_faults 1 strike_refused $edu never-mapped
echo "# $lines lines of the log, $swept faults recorded in the last sweep"
echo 1 > /sys/bus/pci/rescan
ktap_check "$far on another root bus has a group" test -n "$(group_of "$far")"
mark "dma $far begin"
ktap_check "$far on another root bus works" disk_io "$far"
mark "dma $far end"
ktap_check "$free behind no unit has no group" test -z "$(group_of "$free")"
ktap_check "$free behind no unit works without remapping" strike_lands "$free" allowed-write
ktap_check "a load reads all bridges while one is removed and added" bridge_goes
ktap_check "no kernel warning" dmesg_is_clean
ktap_end
