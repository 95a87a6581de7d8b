#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Devices in other places than the first root bus: behind a conventional bridge,
# which speaks in its own name for them; on another root bus; behind no unit.
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

# bridge_goes: a load that is refused, because a disk has its driver, reads how each
# device and bridge is connected; the debug kernel sees what it reads of one that has gone.
bridge_goes() {
	need_no_vtd && modprobe nvme || return 1
	(for _ in $(seq 8); do
		echo 1 > "$PCI/$bridge/remove"
		echo 1 > /sys/bus/pci/rescan
	done) &
	remover=$! loads=0
	while kill -0 $remover 2> /dev/null; do
		! insmod "$VTD_KO" bound=0 2> /dev/null || { echo "loaded"; wait; return 1; }
		loads=$((loads + 1))
	done
	wait $remover
	[ -e "$PCI/$bridge" ] || { echo "the bridge did not come back"; return 1; }
	[ $loads -ge 2 ] || { echo "only $loads loads came about"; return 1; }
}

lands() {
	attack "$1" "$2" && echo "$attacked" && [ "$(attack_word landed)" = 1 ]
}

refused() {
	attack "$1" "$2" && echo "$attacked" &&
		[ "$(attack_word landed)$(attack_word intact)$(attack_word error)" = 010 ]
}

ktap_start 15
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
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
ktap_check "a load looks at all bridges while one goes and comes" bridge_goes
ktap_check "no kernel warning" dmesg_is_clean
ktap_end
