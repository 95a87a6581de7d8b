#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The walk of an address that debugfs shows: its entries are those in memory where hardware reads
# them, and its verdict is the unit's.
#
# Boots: isolation, scalable-places
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"
. "$(dirname "$0")/lib/tables.sh"

WALK=/sys/kernel/debug/vtd/walk
INTEL=/sys/kernel/debug/iommu/intel
OUTPUT=/tmp/walk
LEAVES=8

need_memory
edu=$(pci_by_id 0x1234:0x11e8 | head -n1)
victim=$(pci_by_id 0x1b36:0x0005 | head -n1)
[ -n "$edu" ] && [ -n "$victim" ] || ktap_skip_all "edu and iommu-testdev are not both there"
[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver shows no walk"

# walk BDF ADDRESS: writes the walk to $OUTPUT and checks that it is about this address.
walk() {
	echo "$1 $2" > $WALK && cat $WALK > $OUTPUT || return 1
	[ "$(head -n1 $OUTPUT)" = "$1 $2" ] || { echo "it is not about $1 $2:"; cat $OUTPUT; return 1; }
}

# clause read|write: prints the part of the last sentence about this access.
clause() {
	tail -n1 $OUTPUT | sed -n "s/^\(.*; \)*[Aa] $1 \([^;]*\).*/\2/p" | sed 's/\.$//'
}

# prints PATTERN
prints() {
	tail -n1 $OUTPUT | grep -Eq "$1" || { echo "not $1:"; cat $OUTPUT; return 1; }
}

# agrees BDF ACCESS ADDRESS: the fault in the log and the walk have the same reason, word for
# word. Where the walk says that QEMU reports another one in scalable mode, the fault has that.
agrees() {
	log_has "fault: .*$1.* $2 of $3 refused" || return 1
	walk "$1" "$3" || return 1
	fault=$(log_since | sed -n "s/.*fault: .*$1.* $2 of $3 refused: \(.*reason 0x[0-9a-f]*)\).*/\1/p" |
		tail -n1)
	walked=$(clause "$2" | sed -n 's/^is refused[^:]*: //p')
	case $walked in
	*reason\ 0x[3-9]?,\ which\ QEMU\ reports\ as\ *)
		is_scalable "$(sed -n '2s/,.*//p' $OUTPUT)" && fault="${walked%as *}as ${fault##*reason }" ;;
	esac
	[ -n "$fault" ] && [ "$fault" = "$walked" ] ||
		{ echo "the unit: $fault; the walk: $walked"; cat $OUTPUT; return 1; }
}

# mode_of BDF: prints legacy, or the stage in scalable mode: first or second.
mode_of() {
	if is_scalable "$(unit_of "$1")"; then stage_of "$1"; else echo legacy; fi
}

# walked_code BDF read|write|beyond: prints the code with which the walk refuses a page that is mapped
# for the other access only, or an address beyond the width.
walked_code() {
	case $(mode_of "$1")/$2 in
	legacy/read) echo 06 ;;
	legacy/write) echo 05 ;;
	legacy/beyond) echo 04 ;;
	first/beyond) echo 80 ;;
	*/beyond) echo 84 ;;
	*/write) echo 85 ;;
	*/read) echo 86 ;;
	esac
}

# attacked_agrees SCENARIO ACCESS
attacked_agrees() {
	log_start
	attack "$edu" "$1" && [ "$(attack_word landed)" = 0 ] || { echo "$attacked"; return 1; }
	agrees "$edu" "$2" "$(attack_word iova)"
}

# read_only_agrees: the page is unmapped by the time of the walk. That a first stage permits nothing has
# another reason than that it does not permit this.
read_only_agrees() {
	[ "$(mode_of "$edu")" = first ] || { attacked_agrees read-only write; return; }
	log_start
	attack "$edu" read-only && [ "$(attack_word landed)" = 0 ] || { echo "$attacked"; return 1; }
	log_has "fault: .*$edu.* write of $(attack_word iova) refused: .*reason 0x85\)" &&
		walk "$edu" "$(attack_word iova)" && prints 'a write is refused at level 1: .*reason 0x71\)'
}

# write_only_agrees: a first stage permits reads, too.
write_only_agrees() {
	[ "$(mode_of "$edu")" = first ] || { attacked_agrees write-only read; return; }
	attack "$edu" write-only && [ "$(attack_word landed)" = 1 ] || { echo "$attacked"; return 1; }
	walk "$edu" "$(attack_word iova)" && prints 'A read is refused at level 1: .*reason 0x71\)'
}

# struck_agrees BDF|testdev@BASE ADDRESS [BDF]: the same for a raw write.
struck_agrees() {
	log_start
	refused "$1" "$2" "$(memory)" && agrees "${3:-$1}" write "$2"
}

# words_are_held ADDRESS WORDS: the words, the highest first, are in memory from there on.
words_are_held() {
	count=$(echo "$2" | awk -F: '{ print NF }')
	word=$(($1 + count * 8))
	for shown in $(echo "$2" | tr : ' '); do
		word=$((word - 8))
		[ $((shown)) -eq "$(word_at $word)" ] || { echo "at $1 is shown $2"; return 1; }
	done
}

# entries_are_memorys BDF ADDRESS: each entry that the walk shows is in memory, where the previous
# entry points.
entries_are_memorys() {
	locate "$1"
	sed -n 's/^\(root\|context\|PASID\) .* at \(0x[0-9a-f]*\): \(0x[0-9a-fx:]*\): .*/\2 \3/p' $OUTPUT > /tmp/entries
	[ "$(wc -l < /tmp/entries)" -eq "$(echo "$located" | wc -w)" ] || { echo "$located"; cat $OUTPUT; return 1; }
	set -- "$1" "$2" $located
	while read -r at words; do
		[ $((at)) -eq "$3" ] || { echo "an entry is shown at $at, and is at $3"; cat $OUTPUT; return 1; }
		words_are_held "$at" "$words" || return 1
		[ "$#" -gt 3 ] || { low=${words##*:} third=${words%%:*}; break; }
		first=$1 second=$2
		shift 3
		set -- "$first" "$second" "$@"
	done < /tmp/entries
	table=$((low & TABLE_MASK))
	[ $((low >> 6 & 7)) -ne 1 ] || [ $pasid_at = 0 ] || table=$((third & TABLE_MASK))
	sed -n 's/^level \(.\): table \(.*\), entry \(.*\): \(0x[0-9a-f]*\): .*/\1 \2 \3 \4/p' $OUTPUT > /tmp/steps
	while read -r level at index raw; do
		wanted=$((${2} >> (12 + 9 * (level - 1)) & 511))
		[ $((at)) -eq $table ] && [ "$index" -eq $wanted ] &&
			[ $((raw)) -eq "$(word_at $((at + index * 8)))" ] ||
			{ echo "level $level, entry $index is shown as $raw in $at"; return 1; }
		table=$((raw & TABLE_MASK))
	done < /tmp/steps
}

# The walk of pages that are mapped now gives their address, or the reason, for each access.
mapped_pages_are_reached() {
	total=0
	for bdf in $(served); do
		tail -n +3 $INTEL/"$bdf"/domain_translation_struct | head -n $LEAVES > /tmp/leaves
		while read -r pfn rest; do
			leaf=${rest##*	} iova=$(printf '0x%x' $((pfn << 12)))
			walk "$bdf" "$iova" || return 1
			for kind in 1:read 2:write; do
				bit=${kind%:*} access=${kind#*:}
				wanted="reaches memory at $(printf '0x%x' $((leaf & TABLE_MASK)))"
				[ $((leaf & bit)) -ne 0 ] || wanted="is refused at level [1-3]: .*reason 0x$(walked_code "$bdf" "$access")[,)].*"
				clause "$access" | grep -Eq "^$wanted$" ||
					{ echo "$bdf $iova, $access: not $wanted:"; cat $OUTPUT; return 1; }
			done
			entries_are_memorys "$bdf" "$iova" || return 1
			total=$((total + 1))
		done < /tmp/leaves
	done
	[ $total -ge 5 ] || { echo "only $total pages"; return 1; }
}

# A malformed request changes nothing.
bad_words() {
	walk "$edu" 0x1000 || return 1
	for words in "" "$edu" "0x1000" "$edu 1000" "$edu 0x" "$edu 0x1000 2" "$edu 0xg" "00:05.9 0x1000" \
		"00:20.0 0x1000" "$edu 0x10000000000000000" "-1:05.0 0x1000" "$(printf '%065d' 0)" \
		"$(printf '\377\376') 0x1000"; do
		! sh -c "echo '$words' > $WALK" 2> /tmp/refused || { echo "taken: $words"; return 1; }
		grep -q "nvalid argument" /tmp/refused || { echo "$words: $(cat /tmp/refused)"; return 1; }
	done
	! dd if=/dev/zero of=$WALK bs=100000 count=1 2> /tmp/refused && grep -q "nvalid argument" /tmp/refused &&
		cat $WALK > /tmp/again && diff $OUTPUT /tmp/again
}

# Maps a large page, a page for reading and a page for writing.
owned() {
	ask claim "$victim" a && ask new c "$victim" &&
		ask map c $USER_IOVA "$(memory 0x200000)" 0x200000 &&
		ask map-read c 0x5000000000 "$(memory)" 0x1000 &&
		ask map-write c 0x5000001000 "$(memory)" 0x1000 && ask attach c "$victim"
}

for_reading_only() {
	struck_agrees "$victim" 0x5000000000 &&
		prints "^A read reaches memory at $(memory); a write is refused at level 1: .*reason 0x$(walked_code "$victim" write)" &&
		grep -Eq '^level 1: .*, reads(, |$)' $OUTPUT
}

for_writing_only() {
	lands "$victim" 0x5000001000 "$(memory)" && walk "$victim" 0x5000001000 || return 1
	if [ "$(mode_of "$victim")" = first ]; then
		read_clause="reaches memory at $(memory)" leaf='reads and writes'
	else
		read_clause="is refused at level 1: .*reason 0x$(walked_code "$victim" read)[^;]*" leaf='writes, '
	fi
	prints "^A read $read_clause; a write reaches memory at $(memory)\.$" && grep -q "^level 1: .*, $leaf" $OUTPUT
}

two_megabytes() {
	walk "$victim" 0x4000123456 && prints "A read reaches memory at $(memory 0x323456); a write reaches" &&
		grep -q '^level 2: .*: page of 2M at' $OUTPUT && entries_are_memorys "$victim" 0x4000123456
	found=$?
	lands "$victim" 0x4000123000 "$(memory 0x323000)" || found=1
	struck_agrees "$victim" 0x4000200000 || found=1
	return $found
}

claimed() {
	is_now "$victim" blocked && struck_agrees "$victim" "$(memory)" &&
		prints 'reason 0x(02|41)' && ask release "$victim"
}

removed() {
	base=$(cut -d' ' -f1 "$PCI/$victim/resource" | head -n1)
	echo 1 > "$PCI/$victim/remove"
	struck_agrees "testdev@$base" "$(memory)" "$victim" && grep -q 'no device of this driver' $OUTPUT
	found=$?
	echo 1 > /sys/bus/pci/rescan
	return $found
}

identity() {
	unbind "$victim"
	set_type "$victim" identity && lands "$victim" "$(memory)" && walk "$victim" "$(memory)" &&
		prints "A read reaches memory at $(memory); a write reaches memory at $(memory), untranslated" &&
		set_type "$victim" DMA
}

# Every walk is whole, and about its request, while tables are added and removed.
while_they_change() {
	rm -f /tmp/enough
	{
		until [ -e /tmp/enough ]; do
			echo "$victim" > /sys/bus/pci/drivers/vtd_attack/bind
			attack "$victim" allowed-write
			echo "$victim" > /sys/bus/pci/drivers/vtd_attack/unbind
			echo 1 > "$PCI/$victim/remove"
			echo 1 > /sys/bus/pci/rescan
			unbind "$victim"
		done
	} > /dev/null 2>&1 &
	good=0
	for round in $(seq 150); do
		walk "$victim" 0xfffff000 && prints '\.$' || { good=1; break; }
	done
	touch /tmp/enough
	wait
	return $good
}

# No unit knows the device any more: the walk of each is shown.
stopped() {
	units=$(all_units)
	rmmod vtd_owner && unload_drivers && echo 1 > /sys/kernel/vtd/detach && walk "$edu" 0x1000 || return 1
	for unit in $units; do
		grep -q "The tables do not apply: translation of $unit is off" $OUTPUT || { cat $OUTPUT; return 1; }
	done
}

ktap_start 24
need_no_vtd > /tmp/need 2>&1 && need_vtd >> /tmp/need 2>&1 ||
	ktap_abort "the module does not load again: $(cat /tmp/need)"
log_start
load_owner
ktap_check "before a request it says what to write" grep -q 'no request yet: write' $WALK
ktap_check "a malformed request is refused and changes nothing" bad_words
ktap_check "never mapped, a write: the walk agrees with the fault" attacked_agrees never-mapped write
ktap_check "its entries are what memory holds" entries_are_memorys "$edu" "$(attack_word iova)"
ktap_check "never mapped, a read: the walk agrees" attacked_agrees never-mapped-read read
ktap_check "unmapped: the walk agrees" attacked_agrees unmapped write
ktap_check "unmapped: the walk reports when that was" grep -Eq '^domain #[0-9]+ in vtd/domains: it was unmapped .* ago' $OUTPUT
ktap_check "mapped for reading only: the walk agrees" read_only_agrees
ktap_check "mapped for writing only: the walk agrees" write_only_agrees
beyond=$(walked_code "$victim" beyond)
ktap_check "beyond the width: the walk agrees" struck_agrees "$victim" 0x1000000000000
ktap_check "no table is read for it" eval '! grep "^level" $OUTPUT && prints "reason 0x$beyond.*reason 0x$beyond"'
ktap_check "pages that are mapped are reached, and entries are memory's" mapped_pages_are_reached
ktap_check "the interrupt address range is recognised" \
	eval 'walk "$victim" 0xfee00000 && prints "The tables do not apply: .* interrupt request"'
ktap_check "a segment without a unit is reported" \
	eval 'walk ffff:00:00.0 0x0 && prints "no unit of this driver serves segment ffff"'
unbind "$victim"
ktap_check "a user's domain has three kinds of page" owned
ktap_check "a large page ends the walk one level earlier" two_megabytes
ktap_check "a page for reading lets reads pass, and the unit refuses the write" for_reading_only
ktap_check "a page for writing lets writes pass, and refuses reads unless its stage is the first" for_writing_only
ask detach c "$victim" && ask free c
ktap_check "claimed and blocked: the walk agrees" claimed
ktap_check "a requester without a device: the walk agrees" removed
ktap_check "identity: untranslated" identity
unbind "$victim"
ktap_check "every walk is whole while domains are attached and detached" while_they_change
ktap_check "of a stopped unit it says that it is off" stopped
rmmod vtd
ktap_check "no kernel warning" log_is_clean
ktap_end
