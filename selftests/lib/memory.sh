# SPDX-License-Identifier: GPL-2.0
#
# How much memory is in use, exactly enough to detect a single leaked page a round. Sourced after
# common.sh.
# shellcheck shell=dash

# counted: adds each processor's share to the sums of /proc/vmstat. The kernel does so every
# second, unless it can be made to do it now.
counted() {
	if [ -e /proc/sys/vm/stat_refresh ]; then cat /proc/sys/vm/stat_refresh; else sleep "$1"; fi
}

# settle: frees what is waiting to be freed, and empties the caches.
settle() {
	sync
	[ ! -e /proc/sys/vm/drop_caches ] || echo 3 > /proc/sys/vm/drop_caches
	# Deferred work of the kernel: RCU, vmalloc areas, closed files.
	sleep 0.3
	counted 0
}

# known_pages: counts the pages that are free, in the allocator and in its per-CPU lists, and those
# whose owner the kernel counts. The rest were leaked. The sums in /proc/zoneinfo lag behind, and
# it counts free pages a second time by blocks.
known_pages() {
	awk '
		FILENAME ~ /buddyinfo/ {
			size = 1
			for (column = 5; column <= NF; column++) { pages += $column * size; size *= 2 }
		}
		FILENAME ~ /zoneinfo/ && $1 == "count:" { pages += $2 }
		FILENAME ~ /meminfo/ && \
			/^(Buffers|Cached|SwapCached|AnonPages|Slab|KernelStack|PageTables|SecPageTables|VmallocUsed|Percpu):/ {
			kilobytes += $2
		}
		END { print pages + int(kilobytes / 4) }' /proc/buddyinfo /proc/zoneinfo /proc/meminfo
}

# iommu_pages: prints how many pages IOMMU drivers have for hardware to read.
iommu_pages() {
	awk '$1 == "nr_iommu_pages" { print $2 }' /proc/vmstat
}

# table_pages [WANTED]: prints the same, after the per-CPU counts were added up. If it is not
# WANTED, it is counted again, for a while. Without WANTED, it waits for all pending work.
table_pages() {
	tries=$((7 * PATIENCE))
	[ -n "${1:-}" ] || { tries=7; counted 2; }
	for try in $(seq $tries); do	# by PATIENCE where one is wanted
		pages=$(iommu_pages)
		[ "$pages" != "${1:-}" ] || break
		counted 0.4
	done
	echo "$pages"
}

# same_pages BEFORE: there are as many pages of tables as before.
same_pages() {
	[ "$(table_pages "$1")" = "$1" ] ||
		{ echo "$1 pages of tables before, $(table_pages) after"; return 1; }
}

DOMAINS=/sys/kernel/debug/vtd/domains

# pages_in_domains: prints how many pages the tables of all domains take, and how many domains
# there are; "? ?" if one has more tables than are counted.
pages_in_domains() {
	[ -e $DOMAINS ] || { echo 0 0; return; }
	awk '{
			for (column = 1; column <= NF; column++)
				if ($column ~ /^tables=/) {
					if ($column == "tables=?") uncounted = 1
					pages += substr($column, 8)
				}
		}
		END { if (uncounted) print "? ?"; else print pages + 0, NR }' $DOMAINS
}

# unowned [WANTED]: prints the pages that are in no domain's tables, and the number of domains. A
# domain may get more tables at any time, by its device's own work or because an address was taken
# elsewhere, and keeps them. A leaked page is in no domain; a domain that should have been freed
# changes the number. The two numbers are read at different moments, and so again until they fit
# together: until the result is WANTED, or twice the same.
unowned() {
	[ -n "${1:-}" ] || counted 2
	unowned_last=
	for try in $(seq $((10 * PATIENCE))); do
		inside=$(pages_in_domains)
		pages=$(iommu_pages)
		case $inside in
		*\?*) now="a domain has more tables than are counted" ;;
		*) now="$((pages - ${inside% *})) pages in no domain, ${inside#* } domains" ;;
		esac
		if [ "$inside" = "$(pages_in_domains)" ]; then
			[ "$now" != "${1:-$unowned_last}" ] || break
			unowned_last=$now
		fi
		counted 0.4
		sleep 0.1
	done
	echo "$now"
}

# none_leaked BEFORE: there are as many unowned pages as before.
none_leaked() {
	after=$(unowned "$1")
	case $1 in
	*" pages in no domain, "*) ;;
	*) echo "not known before: $1"; return 1 ;;
	esac
	[ "$after" = "$1" ] || { echo "before: $1; after: $after"; return 1; }
}

# slab_pages: prints the pages of the kernel's small objects that no cache can free.
slab_pages() {
	awk '$1 == "nr_slab_unreclaimable" { print $2 }' /proc/vmstat
}

# vmalloc_areas: prints how many there are; the kernel keeps freed ones for a while.
vmalloc_areas() {
	grep -vc unpurged /proc/vmallocinfo
}

# The state after each round of a test, one line each: round, known pages, pages of tables, of
# slabs, areas.
round_begins() {
	: > /tmp/rounds
}

# round_ends ROUND [TABLES]: adds a line; TABLES pages of tables are expected.
round_ends() {
	settle
	# Pages with an owner are counted late.
	counted 1.5
	echo "$1 $(known_pages) $(table_pages "${2:-}") $(slab_pages) $(vmalloc_areas)" >> /tmp/rounds
}

# value_of ROUND COLUMN: prints one value.
value_of() {
	awk -v round="$1" -v column="$2" '$1 == round { print $column }' /tmp/rounds
}

# lost: prints how many known pages the rounds have cost: the mean of their first third minus that
# of their last, because a single count is some dozen pages off.
lost() {
	awk '{ known[NR] = $2 }
		END {
			third = int(NR / 3)
			for (i = 1; i <= third; i++) sum += known[i] - known[NR + 1 - i]
			print int(sum / third)
		}' /tmp/rounds
}

# none_lost BOUND: the rounds cost at most that many pages.
none_lost() {
	[ "$(lost)" -le "$1" ] ||
		{ echo "the rounds cost $(lost) pages, more than $1:"; cat /tmp/rounds; return 1; }
}

# all_within BOUND: after each round at most that many known pages are missing.
all_within() {
	awk -v bound="$1" '
		NR == 1 { first = $2 }
		first - $2 > bound { print "round " $1 ": " first - $2 " pages fewer than after the first"; bad = 1 }
		END { exit bad || !NR }' /tmp/rounds
}

# grown FROM TO: prints by how many pages slabs grew between two rounds.
grown() {
	echo $(($(value_of "$2" 4) - $(value_of "$1" 4)))
}

# none_grown FROM TO BOUND: slabs grew by at most that many pages.
none_grown() {
	[ "$(grown "$1" "$2")" -le "$3" ] ||
		{ echo "slabs grew by $(grown "$1" "$2") pages, more than $3:"; cat /tmp/rounds; return 1; }
}

# same_after_each COLUMN VALUE: every round has exactly this value.
same_after_each() {
	awk -v column="$1" -v value="$2" '$column != value {
		print "round " $1 ": " $column ", not " value; bad = 1 }
		END { exit bad || !NR }' /tmp/rounds
}

# check_exactly WHAT COMMAND: ktap_check, if this kernel frees memory immediately.
check_exactly() {
	if grep -q ' kasan_report$' /proc/kallsyms; then
		ktap_skip "$1" "KASAN keeps back what is freed; kmemleak looks instead"
	else
		ktap_check "$@"
	fi
}

KMEMLEAK=/sys/kernel/debug/kmemleak

# leaks: prints the objects that no pointer refers to; nothing if there are none. kmemleak reports a
# leak only when the object is some seconds old and a second scan confirms it.
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
