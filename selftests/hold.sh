#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# A page is unmapped and freed, and a device immediately writes to its address. In strict mode
# nothing lands. With deferred flushing nothing lands in a page of another owner, because the page
# is held; it does with hold=0.
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"
. "$(dirname "$0")/lib/memory.sh"

[ -n "${VTD_DISKS:-}" ] || ktap_skip_all "VTD_DISKS names no disk that may be overwritten"
ROUNDS="1 2 3 4 5"
bdf=$(pci_by_id 0x1b36:0x0005 | head -n1)
[ -n "$bdf" ] || ktap_skip_all "iommu-testdev is not there"
[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver has no parameter hold"

# counted_as NAME: prints this counter of the device's unit.
counted_as() {
	sed -n "s/^$1: //p" "/sys/kernel/debug/vtd/$(unit_of "$bdf")/statistics"
}

# loaded_with PARAMETER...: the module is loaded with these, and nothing else changes.
loaded_with() {
	need_no_vtd && load_vtd "$@" && load_drivers
}

tainted() {
	load_owner
	grep -q user-taint=1 $OWNER || { cat $OWNER; return 1; }
}

# freed NAME: one attack on a page that was freed; the result is in the words of attacked.
freed() {
	mark "hold freed $1 begin"
	attack "$bdf" freed || return 1
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

out_of_reach() {
	[ "$(attack_word landed)$(attack_word stale)" = 00 ] && [ "$(attack_word reused)" != 0 ]
}

held() {
	[ "$(attack_word landed)$(attack_word reused)" = 00 ] && [ "$(attack_word refs)" = 2,1 ] &&
		[ "$(attack_word back-us)" -gt 0 ] && [ "$(attack_word back-us)" -lt 2000000 ]
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

# nothing_held: no page is held after the next flush.
nothing_held() {
	for try in $(seq $((20 * PATIENCE))); do
		[ "$(counted_as held-now)" != 0 ] || return 0
		sleep 0.1
	done
	echo "$(counted_as held-now) pages are held"
	return 1
}

# more NAME COUNT COMMAND...: this counter grows by at least so much.
more() {
	before=$(counted_as "$1") name=$1 least=$2
	shift 2
	"$@" || return 1
	[ $(($(counted_as "$name") - before)) -ge "$least" ] ||
		{ echo "$name was $before and is $(counted_as "$name")"; return 1; }
}

# kind NAME TAKEN COUNTER: this number of references is taken, none stays, and the unmap is counted.
kind() {
	run=/sys/kernel/debug/vtd_kinds/run
	before=$(counted_as "$3")
	echo "$1" > $run || { echo "$1 cannot be made"; return 1; }
	result=$(cat $run)
	echo "$result, $3 $before, then $(counted_as "$3")"
	[ "$result" = "kind=$1 taken=$2 left=0" ] && [ "$(counted_as "$3")" -gt "$before" ]
}

# bounded: some of many pages are held, and no more than there are records for.
bounded() {
	echo many > /sys/kernel/debug/vtd_kinds/run || return 1
	result=$(cat /sys/kernel/debug/vtd_kinds/run)
	echo "$result"
	taken=${result#*taken=} taken=${taken%% *}
	[ "$taken" -gt 0 ] && [ "$taken" -le 248 ] && [ "${result##* }" = left=0 ] &&
		[ "$(counted_as held-most)" -ge 248 ]
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

is_refused() {
	! insmod "$VTD_KO" hold=2 2> /tmp/why && log_has "not loaded: hold=2 is not valid: give 0"
}

ktap_start 38
log_start
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
ktap_check "hold=2: the load is refused" is_refused
loaded_with lazy=0 > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
ktap_check "strict: a page that was freed is out of reach" each_time strict out_of_reach
ktap_check "strict: nothing is held" test "$(counted_as held-pages)" = 0

log_start
loaded_with lazy=1 > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
ktap_check "held: the group's type is DMA-FQ" test "$(group_type "$bdf")" = DMA-FQ
ktap_check "held: no allocation gets the page before the flush, and one does after it" \
	more held-freed 5 each_time lazy=1 held
ktap_check "held: a device can still write to it until then" each_time lazy=1 still_reached
ktap_check "held: after the flush nothing is held" nothing_held
ktap_check "held: the log says what it costs" log_has "vtd: .*deferred.*held.*can still reach"
ktap_check "held: the kernel is not tainted" eval '! tainted > /dev/null'
insmod "$VTD_TEST_MODULES/vtd_kinds.ko" || ktap_abort "vtd_kinds does not load"
for name in page head exact vmalloc compound large user; do
	ktap_check "held: kind $name is held once" kind $name 1 held-pages
done
for count in 2 8; do
	ktap_check "held: kind scattered-$count is held" kind scattered-$count $count held-pages
done
for name in slab large-kmalloc; do
	ktap_check "held: kind $name is flushed" kind $name 0 flushed-slab
done
for name in tail reserved registers; do
	ktap_check "held: kind $name is flushed" kind $name 0 flushed-other
done
for name in long scattered-9 scattered-64; do
	ktap_check "held: kind $name is flushed" kind $name 0 flushed-long
done
ktap_check "held: many pages are held up to the bound" bounded
rmmod vtd_kinds
payload $((16 << 20))
ktap_check "held: a disk reads what it wrote" disk_io "${VTD_DISKS%% *}"
ktap_check "held: the disk's pages were held" test "$(counted_as held-pages)" -gt 100
ktap_check "held: nothing is held afterwards" nothing_held
echo "# held: $(counted_as held-pages) pages, at most $(counted_as held-most), $(counted_as held-freed) of them freed by their owner before the flush; flushed immediately: $(counted_as flushed-slab) slab, $(counted_as flushed-long) long, $(counted_as flushed-other) other, $(counted_as flushed-full) full"

log_start
loaded_with lazy=1 hold=0 > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
ktap_check "hold=0: a write lands in another owner's page" lands_elsewhere
ktap_check "hold=0: nothing is held" test "$(counted_as held-pages)" = 0
ktap_check "hold=0: the log says what it costs" log_has "vtd: .*deferred.*unmapped and reused"
ktap_check "hold=0: the kernel is tainted by its user" tainted
rmmod vtd_owner

log_start
loaded_with lazy=1 test_hooks=1 > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
ktap_check "lost: what a unit may still reach is kept when it fails" lost
ktap_check "lost: the log says so" log_has "KiB that the device may still reach are kept from use for good.*power the machine off"
ktap_check "lost: a reload works" loaded_with lazy=0
ktap_check "no kernel warning" log_is_clean
ktap_end
