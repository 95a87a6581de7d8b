#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# What a fault report says, and that one noisy device does not silence another.
. "$(dirname "$0")/ktap.sh"
. "$(dirname "$0")/lib.sh"

FLOOD=60

flood() {
	count=0
	while [ $count -lt $FLOOD ]; do
		attack "$1" never-mapped || return 1
		count=$((count + 1))
	done
}

lines_about() {
	log_since | grep -c "fault: device $1"
}

# counter NAME: summed over the units.
counter() {
	cat /sys/kernel/debug/vtd/*/statistics | sed -n "s/^ *$1[: ] *//p" | awk '{ s += $1 } END { print s + 0 }'
}

is_limited() {
	about=$(lines_about "$1")
	[ "$about" -ge 1 ] && [ "$about" -lt $FLOOD ] ||
		{ echo "$about lines about $FLOOD faults"; return 1; }
}

all_counted() {
	[ $(($(counter faults) - counted)) -eq "$1" ] ||
		{ echo "the counter rose by $(($(counter faults) - counted)), not by $1"; return 1; }
}

noisy=$(pci_by_id 0x1b36:0x0005 | head -n1)
quiet=$(pci_by_id 0x1234:0x11e8 | head -n1)
[ -n "$noisy" ] && [ -n "$quiet" ] || ktap_skip_all "iommu-testdev and edu are not both there"

ktap_start 11
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
log_start
counted=$(counter faults)
mark "fault report begin"
attack "$quiet" never-mapped
ktap_check "the report names the device" log_has "fault: device $quiet"
ktap_check "the report names the device's driver" log_has "fault: device $quiet.*vtd_attack"
ktap_check "the report names the access" log_has "fault: device $quiet.*write"
ktap_check "the report gives the reason in words and as a code" \
	log_has "fault: device $quiet.*refused: .*[a-z]+ .*reason 0x0?5"
ktap_check "the report names the domain's type" log_has "fault: device $quiet.*domain.*DMA"
ktap_check "the fault is counted" all_counted 1
mark "fault flood begin"
log_start
counted=$(counter faults)
ktap_check "a device faults $FLOOD times" flood "$noisy"
ktap_check "reports about it are rate limited" is_limited "$noisy"
attack "$quiet" never-mapped
ktap_check "another device's fault is still reported" log_has "fault: device $quiet"
sleep 0.5
ktap_check "every fault is counted" all_counted $((FLOOD + 1))
mark "fault flood end"
ktap_check "no kernel warning" log_is_clean
ktap_end
