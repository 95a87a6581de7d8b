# SPDX-License-Identifier: GPL-2.0
#
# How much memory is in use, exactly enough to see a single page a round go.
# Sourced after common.sh.
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

# known_pages: those that are free, in the allocator and in its lists for each processor,
# and those whose owner the kernel counts. What is missing was taken and forgotten.
# /proc/zoneinfo has sums that lag behind, and counts free ones a second time by blocks.
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

# iommu_pages: what IOMMU drivers have for hardware to read.
iommu_pages() {
	awk '$1 == "nr_iommu_pages" { print $2 }' /proc/vmstat
}

# table_pages [WANTED]: the same, once it has been added up. Where it is not
# WANTED it is counted anew, for a while; where nothing is, all that was done is counted.
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

# same_pages BEFORE: of tables, as many as then.
same_pages() {
	[ "$(table_pages "$1")" = "$1" ] ||
		{ echo "$1 pages of tables before, $(table_pages) after"; return 1; }
}

DOMAINS=/sys/kernel/debug/vtd/domains

# pages_in_domains: how many pages the tables of all domains take, and how many domains there
# are; "? ?" where one has more tables than are counted.
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

# unowned [WANTED]: the pages that are in no domain's tables, and the number of domains. A
# domain that stays may come to have more tables at any time, by its device's own work or
# because an address was taken elsewhere, and keeps them; a page that was taken and
# forgotten is in none, and one of a domain that should be gone is told by the number.
# What is read at different moments is compared until it fits together: until it is
# WANTED, or twice the same.
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

# none_forgotten BEFORE: as many as then.
none_forgotten() {
	after=$(unowned "$1")
	case $1 in
	*" pages in no domain, "*) ;;
	*) echo "not known before: $1"; return 1 ;;
	esac
	[ "$after" = "$1" ] || { echo "before: $1; after: $after"; return 1; }
}

# slab_pages: of the kernel's small objects, those that no cache gives back.
slab_pages() {
	awk '$1 == "nr_slab_unreclaimable" { print $2 }' /proc/vmstat
}

# vmalloc_areas: how many there are; those given back are kept for a while.
vmalloc_areas() {
	grep -vc unpurged /proc/vmallocinfo
}

# What each round of a test left, a line for each: round, known pages, pages of
# tables, of slabs, areas.
round_begins() {
	: > /tmp/rounds
}

# round_ends ROUND [TABLES]: TABLES pages of tables are what should be there.
round_ends() {
	settle
	# What owners have is counted late.
	counted 1.5
	echo "$1 $(known_pages) $(table_pages "${2:-}") $(slab_pages) $(vmalloc_areas)" >> /tmp/rounds
}

# value_of ROUND COLUMN
value_of() {
	awk -v round="$1" -v column="$2" '$1 == round { print $column }' /tmp/rounds
}

# lost: known pages that the rounds have cost, by the means of their first third and
# of their last one: a single count is some dozen pages off.
lost() {
	awk '{ known[NR] = $2 }
		END {
			third = int(NR / 3)
			for (i = 1; i <= third; i++) sum += known[i] - known[NR + 1 - i]
			print int(sum / third)
		}' /tmp/rounds
}

# none_lost BOUND
none_lost() {
	[ "$(lost)" -le "$1" ] ||
		{ echo "the rounds cost $(lost) pages, more than $1:"; cat /tmp/rounds; return 1; }
}

# all_within BOUND: after no round more known pages are missing than that.
all_within() {
	awk -v bound="$1" '
		NR == 1 { first = $2 }
		first - $2 > bound { print "round " $1 ": " first - $2 " pages fewer than after the first"; bad = 1 }
		END { exit bad || !NR }' /tmp/rounds
}

# grown FROM TO: pages of slabs that came from one round to the other.
grown() {
	echo $(($(value_of "$2" 4) - $(value_of "$1" 4)))
}

# none_grown FROM TO BOUND
none_grown() {
	[ "$(grown "$1" "$2")" -le "$3" ] ||
		{ echo "slabs grew by $(grown "$1" "$2") pages, more than $3:"; cat /tmp/rounds; return 1; }
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
