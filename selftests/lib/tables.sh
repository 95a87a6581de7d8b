# SPDX-License-Identifier: GPL-2.0
#
# shellcheck shell=dash disable=SC3045
# Where the tables of a unit are in memory. Needs /dev/mem.

TABLE_MASK=$((0xffffffffff000))

# word_at ADDRESS: prints the 64 bits there, as a number.
word_at() {
	echo $(($(devmem $(($1)) 64)))
}

# register UNIT NAME: prints its value in the unit's file.
register() {
	awk -v name="$2" '$1 == name { print $3 }' "/sys/kernel/debug/vtd/$1/registers"
}

# is_scalable UNIT: the unit is in scalable mode (RTADDR.TTM).
is_scalable() {
	[ $(($(register "$1" RTADDR) >> 10 & 3)) = 1 ]
}

# locate BDF: finds the entries of a requester from RTADDR on. Sets located to their addresses in the
# order of the walk: root entry, context entry and, in scalable mode, PASID directory entry and PASID
# entry; and context_at, pasid_at (0 in legacy mode).
locate() {
	of=$(unit_of "$1") bus=${1#*:} slot=${1##*:}
	devfn=$((0x${slot%.*} << 3 | ${slot#*.}))
	root_at=$((($(register "$of" RTADDR) & TABLE_MASK) + 0x${bus%%:*} * 16)) pasid_at=0
	if is_scalable "$of"; then
		table=$(($(word_at $((root_at + (devfn >> 7) * 8))) & TABLE_MASK))
		context_at=$((table + (devfn & 127) * 32))
		directory_at=$(($(word_at $context_at) & TABLE_MASK))
		located="$root_at $context_at"
		[ $directory_at = 0 ] && return
		pasid_at=$(($(word_at $directory_at) & TABLE_MASK))
		located="$located $directory_at $pasid_at"
	else
		context_at=$((($(word_at $root_at) & TABLE_MASK) + devfn * 16))
		located="$root_at $context_at"
	fi
}
