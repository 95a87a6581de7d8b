#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The results of a load: units in sysfs in the form of the in-tree driver, groups and strict DMA
# domains, a fault interrupt, lines in the log.
#
# Boots: ordinary*, server, client*, three-levels, without-queue, caching-mode, scalable, scalable-caching, first-stage
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"

# The following are about $unit.
has_form() {
	file=$UNITS/$unit/intel-iommu/$1
	[ -r "$file" ] || { echo "there is no $file"; return 1; }
	grep -Eqx "$2" "$file" || { echo "$file holds: $(cat "$file")"; return 1; }
}

same_as_register() {
	shown=$(($(printf '0x%s' "$(cat "$UNITS/$unit/intel-iommu/$1")")))
	held=$(($(devmem $(($(unit_base "$unit") + $2)) 64)))
	[ "$shown" -eq "$held" ] || { printf 'shown %x, the register holds %x\n' "$shown" "$held"; return 1; }
}

all_devices_have_groups() {
	bad=0
	for pci_dev in "$PCI"/*; do
		[ -d "$pci_dev/iommu_group" ] || { echo "${pci_dev##*/} has no group"; bad=1; }
	done
	return $bad
}

all_strict() {
	bad=0
	for group in /sys/kernel/iommu_groups/*; do
		[ "$(cat "$group/type")" = DMA ] ||
			{ echo "group ${group##*/} is $(cat "$group/type")"; bad=1; }
	done
	return $bad
}

linked_to_unit() {
	for pci_dev in "$UNITS/$unit"/devices/*; do
		[ "$(readlink -f "$pci_dev/iommu")" = "$(readlink -f "$UNITS/$unit")" ] ||
			{ echo "${pci_dev##*/} does not link back to the unit"; return 1; }
	done
	[ -d "${pci_dev-}" ] || { echo "the unit has no devices"; return 1; }
}

registers_are_held() {
	grep -i "$(cat "$UNITS/$unit/intel-iommu/address").*\(vtd\|dmar\)" /proc/iomem
}

# One for each unit, all of one name.
interrupts_are_there() {
	[ "$(grep -Eci 'dmar|vtd' /proc/interrupts)" = "$(all_units | wc -l)" ] ||
		{ cat /proc/interrupts; return 1; }
}

unit_is_logged() {
	log_has "$1: $unit.*$2"
}

# Devices reach addresses up to the width in the table or that of the processors.
host_width_is_noted() {
	table=$(($(od -An -tu1 -j36 -N1 /sys/firmware/acpi/tables/DMAR) + 1))
	cpu=$(sed -n 's/^address sizes.*: \([0-9]*\) bits physical.*/\1/p' /proc/cpuinfo | head -n1)
	[ -n "$cpu" ] || { echo "/proc/cpuinfo says nothing of address sizes"; return 1; }
	note="host address width is $table bits, but the processors have $cpu"
	if [ "$cpu" -gt "$table" ]; then log_has "$note"; else ! log_since | grep "host address width"; fi
}

# Each parameter that modinfo lists has a line, and those that were given have their values.
parameters_are_shown() {
	shown=/sys/kernel/vtd/parameters
	modinfo -F parm "$VTD_KO" | cut -d: -f1 | sort > /tmp/known
	sed 's/=.*//' $shown | sort | diff /tmp/known - || return 1
	for word in $VTD_ARGS; do grep -Fqx "$word" $shown || { cat $shown; return 1; }; done
}

ktap_start 23
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
log_start
mark "load begin"
# shellcheck disable=SC2086 # parameters are words
ktap_check "insmod" insmod "$VTD_KO" $VTD_ARGS
ktap_check "drivers of the devices" load_drivers
mark "load end"
ktap_check "sysfs: version" each_unit has_form version '[0-9]+:[0-9]+'
ktap_check "sysfs: address" each_unit has_form address '[0-9a-f]+'
ktap_check "sysfs: cap" each_unit has_form cap '[0-9a-f]+'
ktap_check "sysfs: ecap" each_unit has_form ecap '[0-9a-f]+'
ktap_check "sysfs: domains_supported" each_unit has_form domains_supported '[1-9][0-9]*'
ktap_check "sysfs: domains_used" each_unit has_form domains_used '[1-9][0-9]*'
if devmem $(($(unit_base "$(all_units | head -n1)"))) 32 > /dev/null 2>&1; then
	ktap_check "sysfs: cap is the register's" each_unit same_as_register cap 8
	ktap_check "sysfs: ecap is the register's" each_unit same_as_register ecap 16
else
	ktap_skip "sysfs: cap is the register's" "this kernel keeps the registers from /dev/mem"
	ktap_skip "sysfs: ecap is the register's" "this kernel keeps the registers from /dev/mem"
fi
ktap_check "sysfs: devices and unit link to each other" each_unit linked_to_unit
ktap_check "every PCI device is in a group" all_devices_have_groups
ktap_check "every group has a strict DMA domain" all_strict
ktap_check "/proc/iomem names the holder of the registers" each_unit registers_are_held
ktap_check "the fault interrupt is there" interrupts_are_there
ktap_check "log: the unit is named" each_unit unit_is_logged vtd ''
ktap_check "log: the log says so if processors have more address bits than the table" \
	host_width_is_noted
ktap_check "log: capabilities in words" each_unit unit_is_logged vtd '(levels|level|pages|2M|2 MiB|GiB)'
ktap_check "/sys/kernel/vtd/parameters has what the module was given" parameters_are_shown
ktap_check "/sys/module/vtd/version is the module's" \
	test "$(cat /sys/module/vtd/version)" = "$(modinfo -F version "$VTD_KO")"
ktap_check "/sys/kernel/vtd/users lists the devices" grep -q "nvme\|e1000e" /sys/kernel/vtd/users
load_again() {
	! insmod "$VTD_KO" 2> /dev/null
}
ktap_check "a second load is refused" load_again
ktap_check "no kernel warning" log_is_clean
ktap_end
