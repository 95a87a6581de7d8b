# SPDX-License-Identifier: GPL-2.0
#
# What the tests about isolation share. Their machine has memory that the kernel does not use
# (memmap=SIZE$ADDRESS), to which the tests make devices write.
# shellcheck shell=dash disable=SC3045

RAW_DMA=${RAW_DMA:-$PROGRAMS/raw_dma}
OWNER=/sys/kernel/debug/vtd_owner/do
# Where a user's domain maps its first page: above all memory.
USER_IOVA=0x4000000000

# memory [OFFSET]: prints the address in that memory.
# shellcheck disable=SC2120
memory() {
	memory_at=$(sed -n 's/.*memmap=[^ ]*\$\(0x[0-9a-f]*\).*/\1/p' /proc/cmdline)
	[ -z "$memory_at" ] || printf '0x%x\n' $((memory_at + ${1:-0}))
}

# need_memory: skips all tests if there is no such memory.
need_memory() {
	[ -n "$(memory)" ] || ktap_skip_all "no memory is kept free by memmap=SIZE\$ADDRESS"
	[ -x "$RAW_DMA" ] || ktap_skip_all "raw_dma was not built"
}

# dma BDF ADDRESS PHYS: makes the device write, with any driver or none; prints the result.
dma() {
	"$RAW_DMA" "$@" 2>&1
}

# lands BDF ADDRESS [PHYS]
lands() {
	became=$(dma "$1" "$2" "${3:-$2}")
	[ "$became" = landed ] || { echo "a write of $1 to $2: $became"; return 1; }
}

# refused BDF ADDRESS [PHYS]
refused() {
	became=$(dma "$1" "$2" "${3:-$2}")
	[ "$became" = refused ] || { echo "a write of $1 to $2: $became"; return 1; }
}

# behind BDF: prints the functions below a bridge.
behind() {
	for below in "$PCI/$1"/0000:*; do
		[ -e "$below/vendor" ] && echo "${below##*/}"
	done
}

group_of() {
	basename "$(readlink "$PCI/$1/iommu_group")" 2>/dev/null
}

unbind() {
	[ ! -e "$PCI/$1/driver" ] || echo "$1" > "$PCI/$1/driver/unbind"
}

# bind BDF DRIVER
bind() {
	echo "$1" > "/sys/bus/pci/drivers/$2/bind"
}

# set_type BDF TYPE: sets the type of its group's default domain.
set_type() {
	echo "$2" > "$PCI/$1/iommu_group/type" && [ "$(group_type "$1")" = "$2" ] ||
		{ echo "the group's type is $(group_type "$1"), not $2"; return 1; }
}

# --- access control ---

# word BDF OFFSET BYTES: reads configuration space; prints a number.
word() {
	od -An -v "-tu$3" -j "$2" -N "$3" "$PCI/$1/config" | tr -d ' '
}

# extended_capability BDF ID: prints the offset of this capability (PCIe 7.6.3), if it has it.
extended_capability() {
	[ "$(stat -c %s "$PCI/$1/config")" -gt 256 ] || return 0
	at=256
	for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
		header=$(word "$1" $at 4)
		[ "${header:-0}" -ne 0 ] && [ "$header" -ne 4294967295 ] || return 0
		[ $((header & 0xffff)) -ne "$2" ] || { echo $at; return 0; }
		at=$((header >> 20))
		[ $at -ge 256 ] || return 0
	done
}

# access_control BDF: prints the offset of the ACS capability (PCIe 7.7.11), if it has one.
access_control() {
	extended_capability "$1" 13
}

# access_control_off BDF OFFSET: turns it off, as a reset does.
access_control_off() {
	printf '\0\0' |
		dd of="$PCI/$1/config" bs=2 seek=$((($2 + 6) / 2)) conv=notrunc 2>/dev/null
}

# --- requests to the core, by vtd_owner ---

load_owner() {
	grep -q '^vtd_owner ' /proc/modules || insmod "$VTD_TEST_MODULES/vtd_owner.ko"
}

# ask REQUEST: makes the request; fails with the core's error.
ask() {
	sh -c "echo '$*' > $OWNER"
}

# refuses ERROR REQUEST: the request fails with this error.
refuses() {
	wanted=$1
	shift
	if ask "$*" 2> /tmp/asked; then
		echo "granted: $*"
		return 1
	fi
	grep -q "$wanted" /tmp/asked || { echo "$*: $(cat /tmp/asked)"; return 1; }
}
EBUSY="resource busy"
EPERM="not permitted"
EINVAL="nvalid argument"

# is_now BDF STATE: the driver says that the device is attached to this.
is_now() {
	state=$(sed -n "s/^$1 .* //p" /sys/kernel/vtd/users)
	[ "$state" = "$2" ] || { echo "$1 is $state, not $2"; return 1; }
}
