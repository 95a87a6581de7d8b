#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# A page is unmapped and freed, and a device immediately writes to its address. In strict mode
# nothing lands. With deferred flushing nothing lands in a page of another owner, because the page
# is held; it does with hold=0.
#
# Boots: held*, races
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"
. "$(dirname "$0")/lib/memory.sh"
. "$(dirname "$0")/lib/disguise.sh"
. "$(dirname "$0")/lib/held.sh"

[ -n "${VTD_DISKS:-}" ] || ktap_skip_all "VTD_DISKS names no disk that may be overwritten"
ROUNDS="1 2 3 4 5"
STRESS=stress
[ "$(cmdline guest.long)" != 1 ] || STRESS=long-stress
KINDS=/sys/kernel/debug/vtd_kinds/run
bdf=$(pci_by_id 0x1b36:0x0005 | head -n1)
[ -n "$bdf" ] || ktap_skip_all "iommu-testdev is not there"
[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver has no parameter hold"

tainted() {
	load_owner
	grep -q user-taint=1 $OWNER || { cat $OWNER; return 1; }
}

# freed NAME [SCENARIO]: one attack on a page that was freed; the result is in the words of attacked.
freed() {
	mark "hold freed $1 begin"
	attack "$bdf" "${2:-freed}" || return 1
	mark "hold freed $1 end"
	say "freed bdf=$bdf policy=$1 reused=$(attack_word reused) landed=$(attack_word landed) stale=$(attack_word stale) refs=$(attack_word refs) back-us=$(attack_word back-us)"
	echo "$attacked"
	[ "$(attack_word warm)$(attack_word error)" = 10 ]
}

# each_time NAME CONDITION...: holds after each of five attacks.
each_time() {
	policy=$1
	shift
	for round in $ROUNDS; do
		freed "$policy" && "$@" || return 1
	done
}

# object SCENARIO LANDED: an object of a slab, or a page of a pool, is freed and allocated again; a
# write to its address lands there, or not.
object() {
	attack "$bdf" "freed-$1"
	echo "$attacked"
	[ "$(attack_word warm)$(attack_word error)$(attack_word landed)" = "10$2" ] &&
		[ "$(attack_word reused)" != 0 ]
}

# in_the_window: a page that its owner keeps can be written to for a while.
in_the_window() {
	hits=0
	for round in $ROUNDS; do
		attack "$bdf" window || return 1
		hits=$((hits + $(attack_word hits)))
	done
	[ $hits -gt 0 ]
}

out_of_reach() {
	[ "$(attack_word landed)$(attack_word stale)" = 00 ] && [ "$(attack_word reused)" != 0 ]
}

held() {
	[ "$(attack_word landed)$(attack_word reused)" = 00 ] && [ "$(attack_word refs)" = 2,1 ] &&
		[ "$(attack_word back-us)" -gt 0 ] && [ "$(attack_word back-us)" -lt 2000000 ]
}

# stressed: four threads allocate, map, unmap and free pages, while the device writes to all
# addresses.
# With hold=0 it would write to whatever the kernel has in these pages by then.
stressed() {
	attack "$bdf" "$STRESS" || return 1
	echo "$attacked"
	[ "$(attack_word landed)$(attack_word error)" = 00 ] && [ "$(attack_word hits)" -ge 20 ]
}

still_reached() {
	[ "$(attack_word stale)" = 1 ]
}

lands_elsewhere() {
	landed=0
	for round in $ROUNDS; do
		freed hold=0 || return 1
		landed=$((landed + $(attack_word landed)))
	done
	[ $landed -gt 0 ]
}

# kind NAME TAKEN COUNTER: this number of references is taken, none stays, and the unmap is counted.
# The host compares the counter with QEMU's trace.
kind() {
	before=$(counted_as "$3")
	mark "hold kind $1 begin"
	echo "$1" > $KINDS || { mark "hold kind $1 end"; echo "$1 cannot be made"; return 1; }
	mark "hold kind $1 end"
	grew=$(($(counted_as "$3") - before))
	result=$(cat $KINDS)
	say "kind bdf=$bdf name=$1 counter=$3 grew=$grew"
	echo "$result, $3 has grown by $grew"
	[ "$result" = "kind=$1 taken=$2 left=0" ] && [ $grew -gt 0 ]
}

# bounded NAME MOST PAGES: some of many blocks are held, but no more than this number at a time,
# which are PAGES pages.
bounded() {
	echo "$1" > $KINDS || return 1
	result=$(cat $KINDS)
	echo "$result; at most $(counted_as held-most) pages were held"
	taken=${result#*taken=} taken=${taken%% *}
	[ "$taken" -gt 0 ] && [ "$taken" -le "$2" ] && [ "${result##* }" = left=0 ] &&
		[ "$(counted_as held-most)" -ge "$3" ]
}

# as_usb_controller: the core defers flushes of such a device, and nothing is held. r8152 warns of
# pages that are.
as_usb_controller() {
	need_no_vtd && while_disguised "$bdf/1b36:0005/0c0330" load_vtd lazy=1 && load_attackers &&
		[ "$(group_type "$bdf")" = DMA-FQ ] || { echo "the group is $(group_type "$bdf")"; return 1; }
	more flushed-strict 1 attack "$bdf" allowed-write &&
		grep "allocated-for=$bdf .* held-pages=0 " $DOMAINS &&
		log_has "$bdf: deferred flushing was chosen, but its memory cannot be held: it stays strict"
}

# lost: a flush is not confirmed, not even that the unit is blocked. What was held stays so.
lost() {
	for word in fail-without-root-table fail-without-queue fail-without-registers hang; do
		echo "$word" > /sys/kernel/vtd/inject_error || return 1
	done
	attack "$bdf" freed
	echo "$attacked"
	[ "$(attack_word reused)" = 0 ] && [ "$(attack_word back-us)" -ge 3000000 ] &&
		[ "$(counted_as held-lost)" -ge 1 ]
}

# The level of a message is the first number of its record.
is_an_emergency() {
	dmesg -r | grep "KiB that the device may still reach" | tail -n1 > /tmp/level
	cat /tmp/level
	grep -q '^<0>' /tmp/level
}

is_said_once() {
	[ "$(log_since | grep -c "$bdf: .* KiB that the device may still reach")" = 1 ] || { log_since; return 1; }
}

# lost_up_to: of what is unmapped afterwards, an eighth of memory is kept, and no more.
lost_up_to() {
	eighth=$(($(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo) / 4 / 8))
	more held-lost $((eighth - 2048)) keeps "lose $((eighth / 512 + 16))" || return 1
	more flushed-full 1 keeps "lose 1" || return 1
	lost=$(counted_as held-lost)
	echo "$lost pages are kept for good; an eighth of memory are $eighth"
	# The kernel takes a part of what it says that there is.
	[ "$kept" = "kept=0 of=1" ] && [ "$lost" -le $((eighth + 1024)) ]
}

# lost_to_writes: the unit has blocked its devices, but does not confirm that what they wrote before
# has arrived.
lost_to_writes() {
	for word in fail-without-queue fail-without-registers hang; do
		echo "$word" > /sys/kernel/vtd/inject_error || return 1
	done
	attack "$bdf" freed
	echo "$attacked"
	[ "$(attack_word reused)" = 0 ] && [ "$(attack_word back-us)" -ge 3000000 ] &&
		[ "$(counted_as held-lost)" -ge 1 ] &&
		log_has "did not confirm that writes in flight have drained" && is_an_emergency
}

is_refused() {
	! insmod "$VTD_KO" hold=2 2> /tmp/why && log_has "not loaded: hold=2 is not valid: give 0"
}

ktap_start 56
log_start
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
ktap_check "hold=2: the load is refused" is_refused
attackers_with lazy=0 > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
ktap_check "strict: a page that was freed is out of reach" each_time strict out_of_reach
check_exactly "strict: an object of a slab that was freed is out of reach" object slab 0
ktap_check "strict: a page that a pool reuses is out of reach" object pool 0
ktap_check "strict: nothing is held" test "$(counted_as held-pages)" = 0

log_start
loaded_with lazy=1 > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
ktap_check "held: the group's type is DMA-FQ" test "$(group_type "$bdf")" = DMA-FQ
ktap_check "held: no allocation gets the page before the flush, and it is free after it" \
	more held-freed 5 each_time lazy=1 held
ktap_check "held: a device can still write to it until then" each_time lazy=1 still_reached
ktap_check "held: after the flush nothing is held" nothing_held
check_exactly "held: an object of a slab that was freed is out of reach" object slab 0
ktap_check "held: a page that a pool reuses can be written to" object pool 1
ktap_check "held: four threads: nothing lands in a page that was allocated again" stressed
ktap_check "held: the log says what it costs" log_has "vtd: .*deferred.*held.*can still reach"
ktap_check "held: the kernel is not tainted" eval '! tainted > /dev/null'
{ payload $((16 << 20)) && mkdir -p /tmp/huge && mount -t hugetlbfs -o pagesize=2M none /tmp/huge &&
	echo 4 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages && : > /tmp/huge/page &&
	truncate -s 2M /tmp/huge/page && mkfs.ext4 -q -F "/dev/$(block_device "${VTD_DISKS%% *}")" &&
	mkdir -p /mnt/io && mount -t ext4 "/dev/$(block_device "${VTD_DISKS%% *}")" /mnt/io &&
	cp /tmp/payload /mnt/io/file && mount -o remount,ro /mnt/io &&
	insmod "$VTD_TEST_MODULES/vtd_kinds.ko" device="$bdf" file=/mnt/io/file huge=/tmp/huge/page; } > /tmp/need 2>&1 ||
	ktap_abort "vtd_kinds does not load: $(cat /tmp/need)"
sync
nothing_held > /dev/null
for name in page head exact vmalloc compound large user page_frag file huge; do
	ktap_check "held: kind $name is held once" kind $name 1 held-pages
done
for count in 2 8; do
	ktap_check "held: kind scattered-$count is held" kind scattered-$count $count held-pages
done
for name in slab large-kmalloc; do
	ktap_check "held: kind $name is flushed" kind $name 0 flushed-slab
done
for name in tail reserved typed registers; do
	ktap_check "held: kind $name is flushed" kind $name 0 flushed-other
done
for name in long scattered-9 scattered-64; do
	ktap_check "held: kind $name is flushed" kind $name 0 flushed-long
done
ktap_check "held: 600 unmaps: at most 288 are held at a time" \
	bounded many 288 248
ktap_check "held: 40 blocks of 2 MiB: 64 MiB are held, then the domain is flushed" \
	more flushed-full 1 bounded blocks 32 16384
rmmod vtd_kinds
umount /mnt/io
rm /tmp/huge/page
umount /tmp/huge
echo 0 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
ktap_check "held: a disk reads what it wrote" disk_io "${VTD_DISKS%% *}"
ktap_check "held: the disk's pages were held" test "$(counted_as held-pages)" -gt 100
ktap_check "held: nothing is held afterwards" nothing_held
echo "# held: $(counted_as held-pages) pages, at most $(counted_as held-most), $(counted_as held-freed) of them freed by their owner before the flush; flushed immediately: $(counted_as flushed-slab) slab, $(counted_as flushed-long) long, $(counted_as flushed-other) other, $(counted_as flushed-full) full"

log_start
attackers_with lazy=1 hold=0 > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
ktap_check "hold=0: a write lands in another owner's page" lands_elsewhere
ktap_check "hold=0: a device can write to what was unmapped" in_the_window
check_exactly "hold=0: a write lands in another owner's object of a slab" object slab 1
ktap_check "hold=0: a page that a pool reuses can be written to" object pool 1
ktap_check "hold=0: nothing is held" test "$(counted_as held-pages)" = 0
ktap_check "hold=0: the log says what it costs" log_has "vtd: .*deferred.*unmapped and reused"
ktap_check "hold=0: the kernel is tainted by its user" tainted
rmmod vtd_owner

log_start
attackers_with lazy=1 test_hooks=1 > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
insmod "$VTD_TEST_MODULES/vtd_keep.ko" device="$bdf"
ktap_check "lost: what a unit may still reach is kept when it fails" lost
ktap_check "lost: the log says so" log_has "KiB that the device may still reach are kept from use for good.*power the machine off"
ktap_check "lost: at the emergency level" is_an_emergency
ktap_check "lost: what is unmapped afterwards is kept, up to an eighth of memory" lost_up_to
ktap_check "lost: the log has said it once" is_said_once
rmmod vtd_keep
ktap_check "lost: a reload works" attackers_with lazy=1 test_hooks=1
ktap_check "lost: the same if only writes may still arrive" lost_to_writes
log_start
ktap_check "a USB controller: its unmaps are flushed immediately, and the log says so" as_usb_controller
ktap_check "no kernel warning" log_is_clean
ktap_end
