# SPDX-License-Identifier: GPL-2.0
#
# How much memory is in use, exactly enough to see a single page a round go.
# Sourced after lib.sh.
# shellcheck shell=dash

# counted: each processor's share is in the sums of /proc/vmstat. The kernel adds them
# up every second, unless it can be asked to.
counted() {
	if [ -e /proc/sys/vm/stat_refresh ]; then cat /proc/sys/vm/stat_refresh; else sleep "$1"; fi
}

# settle: what is only waiting to be freed is freed, and no cache holds a page.
settle() {
	sync
	[ ! -e /proc/sys/vm/drop_caches ] || echo 3 > /proc/sys/vm/drop_caches
	# Deferred work of the kernel: RCU, vmalloc areas, closed files.
	sleep 0.3
	counted 0
}

# free_pages: those of the allocator and of its lists for each processor.
free_pages() {
	awk '/nr_free_pages/ || $1 == "count:" { sum += $2 } END { print sum }' /proc/zoneinfo
}

# table_pages [WANTED]: what IOMMU drivers have for hardware to read. Where it is not
# WANTED it is counted anew, for a while; where nothing is, all that was done is counted.
table_pages() {
	[ -n "${1:-}" ] || counted 2
	for try in 1 2 3 4 5 6 7; do
		pages=$(awk '$1 == "nr_iommu_pages" { print $2 }' /proc/vmstat)
		[ "$pages" != "${1:-}" ] || break
		counted 0.4
	done
	echo "$pages"
}

# same_pages BEFORE: of tables, as many as then.
same_pages() {
	[ "$(table_pages "$1")" = "$1" ] ||
		{ echo "$1 pages of tables before, $(table_pages) after"; return 1; }
}

# slab_pages: of the kernel's small objects, those that no cache gives back.
slab_pages() {
	awk '$1 == "nr_slab_unreclaimable" { print $2 }' /proc/vmstat
}

# vmalloc_areas: how many there are; those given back are kept for a while.
vmalloc_areas() {
	grep -vc unpurged /proc/vmallocinfo
}

# What each round of a test left, a line for each: round, free pages, pages of
# tables, of slabs, areas.
round_begins() {
	: > /tmp/rounds
}

# round_ends ROUND [TABLES]: TABLES pages of tables are what should be there.
round_ends() {
	settle
	echo "$1 $(free_pages) $(table_pages "${2:-}") $(slab_pages) $(vmalloc_areas)" >> /tmp/rounds
}

# value_of ROUND COLUMN
value_of() {
	awk -v round="$1" -v column="$2" '$1 == round { print $column }' /tmp/rounds
}

# The kernel takes, and gives back, a block of 2 MiB at a time for itself, such as for
# the text of modules: a step of that size. lost leaves such steps out, all_within
# counts them.

# lost FROM TO: free pages that the rounds from one to the other have cost.
lost() {
	awk -v from="$1" -v to="$2" '
		$1 > from && $1 <= to {
			step = before - $2
			if (step < -576 || step > 576 || (step > -480 && step < 480)) sum += step
		}
		{ before = $2 }
		END { print sum + 0 }' /tmp/rounds
}

# none_lost FROM TO BOUND
none_lost() {
	lost_pages=$(lost "$1" "$2")
	[ "$lost_pages" -le "$3" ] ||
		{ echo "rounds $1 to $2 cost $lost_pages pages, more than $3:"; cat /tmp/rounds; return 1; }
}

# all_within FROM TO BOUND: no round costs more pages than that, but for a block as
# above; at no time are more than one of them gone.
all_within() {
	awk -v from="$1" -v to="$2" -v bound="$3" '
		$1 > from && $1 <= to {
			step = before - $2
			if (step < -bound) blocks--
			else if (step > bound && step <= 576) blocks++
			if (step > 576 || (step > bound && blocks > 1)) {
				print "round " $1 ": " step " pages fewer than before it"
				bad = 1
			}
		}
		{ before = $2 }
		END { exit bad }' /tmp/rounds
}

# same_after_each COLUMN VALUE: in every round, to the last page.
same_after_each() {
	awk -v column="$1" -v value="$2" '$column != value {
		print "round " $1 ": " $column ", not " value; bad = 1 }
		END { exit bad || !NR }' /tmp/rounds
}

# check_exactly WHAT COMMAND: ktap_check, where what is freed is free at once.
check_exactly() {
	if grep -q ' kasan_report$' /proc/kallsyms; then
		ktap_skip "$1" "KASAN keeps back what is freed; kmemleak looks instead"
	else
		ktap_check "$@"
	fi
}

KMEMLEAK=/sys/kernel/debug/kmemleak

# leaks: what nothing points to any more; nothing where all is well. kmemleak
# believes in a leak only when the object is some seconds old and a second scan says
# the same.
leaks() {
	sleep 6
	echo scan > $KMEMLEAK
	echo scan > $KMEMLEAK
	grep -v '^ *hex dump\|^    [0-9a-f][0-9a-f] ' $KMEMLEAK | head -n 200
}

nothing_leaks() {
	leaks > /tmp/leaks
	cat /tmp/leaks
	! grep -q '^unreferenced' /tmp/leaks
}
