#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Load, use and unload, repeatedly: every page is returned. Use is I/O of two disks through DMA
# domains, with remapped interrupts if the kernel was booted with noapic, DMA of a test device, and a
# user's claim of it. A hundred rounds with guest.long=1.
#
# Boots: late
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/vfio_users.sh"
. "$(dirname "$0")/lib/interrupts.sh"
. "$(dirname "$0")/lib/memory.sh"

# Six on a slow kernel, which uses kmemleak instead of counting.
ROUNDS=$((SHRINK > 1 ? 6 : 12))
[ "$(cmdline guest.long)" != 1 ] || ROUNDS=100
# The round from which growth of slabs is counted: they take some forty to reach their size.
STEADY=$((ROUNDS < 100 ? 5 : 40))
# The number of pages that may be missing after a round, that all rounds together may cost, and by
# which slabs may grow from round STEADY on.
AROUND=128
GROWTH=$((ROUNDS < 100 ? 64 : 48))
SLABS=96

disks=${VTD_DISKS:-}
[ -n "$disks" ] || ktap_skip_all "VTD_DISKS names no disk that may be overwritten"
victim=$(pci_by_id 0x1b36:0x0005 | head -n1)
[ -n "$victim" ] || ktap_skip_all "iommu-testdev is not there"
[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver cannot be unloaded"

reads_what_it_wrote() {
	[ "$(group_type "$1")" = DMA ] || { echo "$1 has a $(group_type "$1") domain"; return 1; }
	name=$(block_device "$1") || { echo "no disk appeared behind $1"; return 1; }
	dd if=/tmp/payload of="/dev/$name" bs=256k oflag=direct conv=notrunc 2> /dev/null &&
		dd if="/dev/$name" bs=256k count="$blocks" iflag=direct 2> /dev/null | cmp - /tmp/payload
}

user_has_it() {
	give_to_user "$victim" || return 1
	"$CLAIM" type1 "$victim" < /dev/null && "$CLAIM" iommufd "$victim" < /dev/null || return 1
	take_back "$victim"
	for module in vfio_iommu_type1 vfio_pci vfio_pci_core vfio; do
		! grep -q "^$module " /proc/modules || rmmod "$module" || return 1
	done
}

one_round() {
	need_vtd || return 1
	for bdf in $disks; do
		reads_what_it_wrote "$bdf" || return 1
		# Where users need no consent, interrupts are remapped.
		[ "$(consent)" = 1 ] || [ "$(handled "$bdf")" -gt 0 ] ||
			{ echo "no interrupt of $bdf was remapped"; cat /proc/interrupts; return 1; }
	done
	attack "$victim" allowed-write && [ "$(attack_word landed)" = 1 ] ||
		{ echo "$victim: $attacked"; return 1; }
	user_has_it && need_no_vtd
}

all_rounds() {
	round_begins
	for round in $(seq $ROUNDS); do
		one_round || { echo "round $round of $ROUNDS"; return 1; }
		round_ends "$round" "$tables_before"
	done
}

without_driver() {
	load_drivers || return 1
	for bdf in $disks; do
		[ ! -e "$PCI/$bdf/iommu_group" ] || { echo "$bdf is still in a group"; return 1; }
		disk_io "$bdf" || return 1
	done
}

ktap_start 11
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
payload $((1 << 20))
blocks=$(($(stat -c %s /tmp/payload) / (256 << 10)))
log_start
settle
tables_before=$(table_pages)
ktap_check "loaded, used and unloaded $ROUNDS times" all_rounds
ktap_check "no page of tables is left after any round" same_after_each 3 "$tables_before"
check_exactly "no area of vmalloc is left after any round" same_after_each 5 "$(value_of 1 5)"
check_exactly "after each round at most $AROUND pages are missing" all_within $AROUND
check_exactly "from the first rounds to the last at most $GROWTH pages are lost" none_lost $GROWTH
check_exactly "from round $STEADY to $ROUNDS slabs grow by at most $SLABS pages" \
	none_grown $STEADY $ROUNDS $SLABS
echo "# pages gone: $(lost); slabs grew by $(grown $STEADY $ROUNDS) since round $STEADY"
ktap_check "without the driver disks work" without_driver
ktap_check "no interrupt is leaked" eval '! grep -i -e vtd -e IR- /proc/interrupts'
unload_drivers
ktap_check "no memory region is left reserved" eval '! grep -i vtd /proc/iomem'
if [ -e $KMEMLEAK ]; then
	ktap_check "no allocation is leaked" nothing_leaks
else
	ktap_skip "no allocation is leaked" "this kernel does not check (DEBUG_KMEMLEAK)"
fi
ktap_check "no kernel warning" log_is_clean
ktap_end
