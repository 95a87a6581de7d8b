#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Devices in other places than the first root bus: behind a conventional bridge,
# which speaks in its own name for them; on another root bus; behind no unit. And
# one that sends requests as a function that it does not have.
. "$(dirname "$0")/ktap.sh"
. "$(dirname "$0")/lib.sh"

group_of() {
	basename "$(readlink "$PCI/$1/iommu_group")" 2>/dev/null
}

# behind BDF: the functions below a bridge.
behind() {
	for below in "$PCI/$1"/0000:*; do
		[ -e "$below/vendor" ] && echo "${below##*/}"
	done
}

# A bridge to a conventional bus is the only one of its class with devices that
# are ours behind it.
bridge=
for bdf in $(attackers); do
	upstream=$(basename "$(dirname "$(readlink -f "$PCI/$bdf")")")
	case $upstream in
	0000:*) bridge=$upstream ;;
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
free=
for bdf in $(attackers); do
	case $(readlink -f "$PCI/$bdf") in
	*/pci0000:00/*) ;;
	*) free=$bdf ;;
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

lands() {
	attack "$1" "$2" && echo "$attacked" && [ "$(attack_word landed)" = 1 ]
}

refused() {
	attack "$1" "$2" && echo "$attacked" &&
		[ "$(attack_word landed)$(attack_word intact)$(attack_word error)" = 010 ]
}

# A device, and a requester ID that a quirk adds to its own.
QUIRKED=0000:00:06.0
ALIAS=00:06.1
CONTEXTS=/sys/kernel/debug/vtd/dmar0/contexts

# entry_of REQUESTER: what it may reach, by the unit's context entry.
entry_of() {
	sed -n "s/^  $1 \(.*\), [0-9]* device(s).*/\1/p" $CONTEXTS
}

alias_reaches_the_same() {
	[ -n "$(entry_of $ALIAS)" ] && [ "$(entry_of $ALIAS)" = "$(entry_of ${QUIRKED#0000:})" ] ||
		{ cat $CONTEXTS; return 1; }
}

alias_reaches_nothing() {
	case $(entry_of $ALIAS) in
	"" | blocked*) ;;
	*) cat $CONTEXTS; return 1 ;;
	esac
}

remove_quirked() {
	echo 1 > "$PCI/$QUIRKED/remove" && alias_reaches_nothing
}

# Found again it is another device for the kernel, of which no quirk says anything.
find_quirked() {
	echo 1 > /sys/bus/pci/rescan
	[ -n "$(entry_of ${QUIRKED#0000:})" ] && alias_reaches_nothing
}

ktap_start 17
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
insmod "$VTD_TEST_MODULES/vtd_alias.ko" device=0x30 alias=0x31 || ktap_abort "no requester ID was added"
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
ktap_check "a requester ID that a quirk adds reaches what its device reaches" alias_reaches_the_same
ktap_check "it goes with its device" remove_quirked
ktap_check "and does not come back without the quirk" find_quirked
payload $((24 << 20))
ktap_check "devices behind a conventional bridge share its group" same_group
for bdf in $(behind "$bridge"); do
	log_start
	ktap_check "$bdf behind the bridge: allowed-write lands" lands "$bdf" allowed-write
	ktap_check "$bdf behind the bridge: read-only is refused" refused "$bdf" read-only
	ktap_check "$bdf behind the bridge: unmapped is refused" refused "$bdf" unmapped
	ktap_check "$bdf behind the bridge: the refusal is reported" log_has 'fault: .*reason 0x0?5'
done
ktap_check "$far on another root bus has a group" test -n "$(group_of "$far")"
mark "dma $far begin"
ktap_check "$far on another root bus works" disk_io "$far"
mark "dma $far end"
ktap_check "$free behind no unit has no group" test -z "$(group_of "$free")"
ktap_check "$free behind no unit works without remapping" lands "$free" allowed-write
ktap_check "no kernel warning" dmesg_is_clean
ktap_end
