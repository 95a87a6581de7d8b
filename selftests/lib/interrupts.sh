# SPDX-License-Identifier: GPL-2.0
#
# What tests of interrupt remapping share. Sourced after common.sh.
# shellcheck shell=dash

FORGE=/sys/kernel/debug/vtd_forge/run

# unit_files BDF: prints the folder of the device's unit.
unit_files() {
	echo "/sys/kernel/debug/vtd/$(unit_of "$1")"
}

# entries_of BDF: prints the index of each entry of the device, one a line.
entries_of() {
	sed -n "s/^ *\([0-9]*\) $1 vector .*/\1/p" "$(unit_files "$1")"/interrupts
}

# entry_of BDF: prints the first of them.
entry_of() {
	entries_of "$1" | head -n1
}

# handled BDF: prints how many remapped interrupts of the device were handled.
handled() {
	awk -v chip="IR-PCI-MSIX?-$1\$" '{
		for (at = 2; at <= NF; at++) {
			if ($at ~ chip)
				for (cpu = 2; cpu < at; cpu++)
					sum += $cpu
		}
	} END { print sum + 0 }' /proc/interrupts
}

# request_of INDEX: prints the address of a request that names this entry.
request_of() {
	printf '0x%x' $((0xfee00010 | ($1 & 0x7fff) << 5 | ($1 >> 15) << 2))
}
