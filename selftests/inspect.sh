#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# What debugfs shows is the actual state. It is compared with the hardware's registers and tables
# as /dev/mem shows them, with sysfs, with itself and, by the host, with QEMU's trace. Every
# reading is whole while devices are added and removed and while the machine suspends.
#
# Boots: suspended, scalable
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/tables.sh"

VTD=/sys/kernel/debug/vtd
INTEL=/sys/kernel/debug/iommu/intel
device=${VTD_DISKS%% *}

# word NAME: prints the value of NAME=value in the line on standard input.
word() {
	tr ' ' '\n' | sed -n "s/^$1=//p"
}

# memory ADDRESS WIDTH: reads /dev/mem; prints it without leading zeros.
memory() {
	printf '%x' "$(devmem "$1" "$2")"
}

# section UNIT PATTERN FILE: prints the part of a file of all units that is about this one. The
# first line of each part matches PATTERN.
section() {
	awk -v wanted="$1" -v first="$2" '
		$0 ~ first { inside = $0 ~ first wanted "( |:|$)" }
		inside' "$3"
}

# all_files: prints the names of all files.
all_files() {
	for name in users groups domains faults; do echo "$VTD/$name"; done
	for name in iommu_regset dmar_translation_struct invalidation_queue; do echo "$INTEL/$name"; done
	for of_unit in $(all_units); do
		for name in statistics waits registers contexts queue; do echo "$VTD/$of_unit/$name"; done
	done
}

files_are_there() {
	for file in $ALL; do
		[ -r "$file" ] || { echo "there is no $file"; return 1; }
		[ "$file" = $VTD/faults ] || [ -s "$file" ] || grep -q . "$file" ||
			{ echo "$file is empty"; return 1; }
	done
}

# Reads every register of $unit's file again by /dev/mem. The tail moves only when an invalidation
# is submitted, and none is.
registers_are_hardwares() {
	base=$(unit_base "$unit")
	count=0
	tail -n +2 "$VTD/$unit/registers" | sed 's/^FRCD /FRCD/' > /tmp/registers
	while read -r name offset value rest; do
		width=64
		[ ${#value} -eq 18 ] || width=32
		held=$(memory $((base + offset)) $width)
		[ "$((value))" -eq "$((0x$held))" ] ||
			{ echo "$name is shown as $value and holds $held"; return 1; }
		count=$((count + 1))
	done < /tmp/registers
	[ $count -ge 20 ] || { echo "only $count registers"; return 1; }
}

regset_agrees() {
	section "$unit" "^IOMMU: " $INTEL/iommu_regset > /tmp/regset
	head -n 1 /tmp/regset |
		grep -q "^IOMMU: $unit Register Base Address: $(unit_base "$unit" | sed 's/0x//')$" &&
		sed -n 2p /tmp/regset | grep -q '^Name.*Offset.*Contents$' ||
		{ head -n 2 /tmp/regset; return 1; }
	for name in VER CAP ECAP GSTS RTADDR IQA FECTL FEDATA; do
		shown=$(awk -v name=$name '$1 == name { print $3 }' /tmp/regset)
		[ $((shown)) -eq $(($(register "$unit" $name))) ] ||
			{ echo "$name is $shown here and $(register "$unit" $name) there"; return 1; }
	done
}

# words ADDRESS COUNT: prints the words there, the highest first, as the files of the in-tree form do.
words() {
	text=
	for number in $(seq 0 $(($2 - 1))); do
		text=$(printf '0x%016x' "$(word_at $(($1 + number * 8)))")${text:+:$text}
	done
	echo "$text"
}

# held_entry BDF: sets shows to its entries in memory as the in-tree form shows them: the context entry,
# PASID and PASID entry; id and table to what they lead to.
held_entry() {
	locate "$1"
	if [ $pasid_at = 0 ]; then
		zero=0x0000000000000000
		shows="$(words $context_at 2) -1 $zero:$zero:$zero"
		id=$(($(word_at $((context_at + 8))) >> 8 & 0xffff)) top=$(word_at $context_at)
	else
		shows="$(words $context_at 2) 0 $(words $pasid_at 3)"
		id=$(($(word_at $((pasid_at + 8))) & 0xffff)) top=$(word_at $pasid_at)
		[ $((top >> 6 & 7)) -ne 1 ] || top=$(word_at $((pasid_at + 16)))
	fi
	table=$(printf '%x' $((top & TABLE_MASK)))
}

entries_are_memorys() {
	count=0
	for bdf in $(served); do
		of_unit=$(unit_of "$bdf")
		line=$(section "$of_unit" "^IOMMU " $INTEL/dmar_translation_struct | grep "^${bdf#*:}") ||
			{ echo "$bdf has no line"; return 1; }
		held_entry "$bdf"
		[ "$(echo "$line" | awk '{ print $3, $4, $5 }')" = "$shows" ] ||
			{ echo "$bdf is shown as $line, memory has $shows"; return 1; }
		grep -q "^  ${bdf#*:} domain-id $id, table 0x$table, " "$VTD/$of_unit/contexts" ||
			{ echo "contexts has no entry $id 0x$table for $bdf"; return 1; }
		[ "$(grep "device=$bdf " $VTD/groups | word domain-id)" = $id ] ||
			{ echo "groups has another domain-id than $id for $bdf"; return 1; }
		head -n 1 $INTEL/$bdf/domain_translation_struct | grep -q "@0x$table$" ||
			{ echo "domain_translation_struct of $bdf has another table"; return 1; }
		count=$((count + 1))
	done
	[ $count -ge 5 ] || { echo "only $count devices"; return 1; }
	[ "$(grep -c '^..:..\..' $INTEL/dmar_translation_struct)" -eq $count ] ||
		{ echo "entries of other requesters are present"; cat $INTEL/dmar_translation_struct; return 1; }
}

# The file has the last 32 descriptors, or as many as there were.
queue_is_hardwares() {
	queue=$VTD/$unit/queue
	slot_bytes=16
	! is_scalable "$unit" || slot_bytes=32
	base=$(sed -n 's/^base: //p' "$queue")
	[ $((base)) -eq $(($(register "$unit" IQA) & ~0xfff)) ] || { echo "it is not at $base"; return 1; }
	[ "$(sed -n 's/^pending: //p' "$queue")" = 0 ] || { echo "something is pending"; return 1; }
	wanted=$(sed -n 's/^submitted: //p' "$queue")
	[ "$wanted" -le 32 ] || wanted=32
	grep '^ *[0-9]* 0x' "$queue" > /tmp/descriptors
	[ "$wanted" -ge 2 ] && [ "$(wc -l < /tmp/descriptors)" -eq "$wanted" ] ||
		{ cat "$queue"; return 1; }
	[ "$(tail -n 1 "$queue" | grep -c 'done *wait: write')" -eq 1 ] ||
		{ echo "the last one is no wait"; tail -n 1 "$queue"; return 1; }
	section "$unit" "^Invalidation queue on IOMMU: " $INTEL/invalidation_queue > /tmp/slots
	tail -n 8 /tmp/descriptors > /tmp/queue
	while read -r slot low high rest; do
		at=$((base + slot * slot_bytes))
		[ $((low)) -eq $((0x$(memory $at 64))) ] && [ $((high)) -eq $((0x$(memory $((at + 8)) 64))) ] ||
			{ echo "slot $slot is shown as $low $high"; return 1; }
		full=$(printf '%5d\t%016x\t%016x\t' "$slot" $((low)) $((high)))
		grep -q "^$full" /tmp/slots || { echo "the other file lacks: $full"; return 1; }
	done < /tmp/queue
	[ "$(grep -c '^ *[0-9]*	[0-9a-f]*	' /tmp/slots)" -eq $((4096 / slot_bytes)) ]
}

# counts: prints the counters of all units together, as NAME=COUNT words.
counts() {
	awk '{ sums[$1] += $2 } END { for (name in sums) printf "%s%.0f\n", name, sums[name] }' $VTD/*/statistics |
		sort | tr ':\n' '= '
}

# The guest is idle between the two marks: the host compares with the trace.
counted() {
	sync
	settled counts > /dev/null || return 1
	mark "inspect counts begin"
	say "inspect-before $(counts)"
	dd if="/dev/$(block_device "$device")" of=/dev/null bs=64k count=64 iflag=direct 2> /dev/null
	echo 1 > "$PCI/$device/remove"
	echo 1 > /sys/bus/pci/rescan
	block_device "$device" > /dev/null || return 1
	settled counts > /dev/null || return 1
	say "inspect-after $(counts)"
	mark "inspect counts end"
}

waits_add_up() {
	least=1
	[ "$unit" != "$(unit_of "$device")" ] || least=100
	sum=$(awk '{ sum += $2 } END { print sum }' "$VTD/$unit/waits")
	wanted=$(awk '$1 == "waits:" { print $2 }' "$VTD/$unit/statistics")
	[ "$sum" -ge $least ] && [ "$sum" -eq "$wanted" ] ||
		{ echo "$sum by time, $wanted waits, at least $least"; cat "$VTD/$unit/waits"; return 1; }
}

# The mapped bytes that a domain reports are those that its tables hold.
domains_are_the_tables() {
	for bdf in $(served); do
		number=$(grep "device=$bdf " $VTD/groups | word domain)
		line=$(grep "^domain=$number " $VTD/domains)
		mapped=$(($(echo "$line" | word mapped-bytes) - $(echo "$line" | word unmapped-bytes)))
		tail -n +3 $INTEL/$bdf/domain_translation_struct > /tmp/leaves
		# A leaf has one column less for each level above the last.
		held=$(awk '{ sum += NF == 7 ? 4096 : NF == 6 ? 2097152 : 1073741824 }
			END { printf "%d", sum }' /tmp/leaves)
		[ $mapped -eq "$held" ] || { echo "$bdf: $mapped bytes, $held in leaves: $line"; return 1; }
		large=$(awk 'NF == 6' /tmp/leaves | wc -l)
		[ "$(echo "$line" | word leaves-2m)" -eq "$large" ] || { echo "$bdf: $large of 2 MiB: $line"; return 1; }
		tables=$(awk '{ for (i = 4; i < NF; i++) if ($i != "0x0000000000000000") seen[$i] = 1 }
			END { for (i in seen) n++; print n + 1 }' /tmp/leaves)
		[ "$(echo "$line" | word tables)" -ge "$tables" ] ||
			{ echo "$bdf: $tables tables lead to its pages: $line"; return 1; }
	done
	total=0
	for maps in $(word maps < $VTD/domains); do total=$((total + maps)); done
	counted=$(counts | word maps)
	[ $total -gt 0 ] && [ $total -le "$counted" ] || { echo "$total in domains, $counted in all"; return 1; }
}

groups_are_sysfss() {
	for bdf in $(served); do
		line=$(grep "device=$bdf " $VTD/groups)
		driver=$(driver_of "$bdf" | sed 's/^none$/-/')
		[ "$(echo "$line" | word group)" = "$(basename "$(readlink "$PCI/$bdf/iommu_group")")" ] &&
			[ "$(echo "$line" | word driver)" = "$driver" ] &&
			[ "$(echo "$line" | word owner)" = kernel ] || { echo "$bdf: $line"; return 1; }
	done
	sort $VTD/users > /tmp/users
	sort /sys/kernel/vtd/users | diff - /tmp/users
}

# readers: read all files over and over until /tmp/enough exists. A line that does not have its
# file's form, or that is cut, is written to /tmp/torn.
read_all() {
	for file in $ALL; do
		case $file in
		*/groups) form='^group=[-0-9]* owner=[a-z]* device=.* requesters=[-0-9a-f:.,]*$' ;;
		*/domains) form='^domain=#[0-9]* allocated-for=.* leaves-1g=[0-9?]*$' ;;
		*/users) form='^[0-9a-f:.]* -*[0-9]* [-a-z0-9_]* [a-zDMA]*$' ;;
		*/statistics | */waits) form='^[a-z0-9-]*: [0-9]*$' ;;
		*) form='' ;;
		esac
		cat "$file" > "/tmp/read.$1" 2> /dev/null || continue
		grep -v "$form" "/tmp/read.$1" && echo "in $file"
		[ ! -s "/tmp/read.$1" ] || [ -z "$(tail -c 1 "/tmp/read.$1")" ] || echo "$file ends in a line"
	done >> /tmp/torn
}

readers() {
	rm -f /tmp/enough /tmp/torn
	for reader in 1 2 3; do
		{
			until [ -e /tmp/enough ]; do
				read_all $reader
				echo >> /tmp/rounds.$reader
			done
		} &
	done
	rm -f /tmp/rounds.*
}

readers_end() {
	touch /tmp/enough
	wait
	for reader in 1 2 3; do
		[ -s /tmp/rounds.$reader ] || { echo "reader $reader came to no end"; return 1; }
	done
	! grep . /tmp/torn
}

while_devices_go() {
	readers
	for round in 1 2 3 4 5; do
		echo 1 > "$PCI/$device/remove"
		echo 1 > /sys/bus/pci/rescan
	done
	if command -v host > /dev/null; then
		host unplug-nvme && sleep 2 && host plug-nvme && sleep 2
	fi
	readers_end
}

while_asleep() {
	readers
	host wake-later && echo mem > /sys/power/state
	result=$?
	readers_end && return $result
}

# A thousand open files, some read to the middle: the driver can still be detached, but not
# unloaded.
many_open() {
	of=$VTD/$(unit_of "$device")
	rm -f /tmp/enough /tmp/opened
	mkfifo /tmp/enough && exec 5<> /tmp/enough || return 1
	for opener in $(seq 125); do
		{
			exec 4< $VTD/groups 5< $VTD/domains 6< $INTEL/dmar_translation_struct \
				7< $INTEL/invalidation_queue 8< "$of/registers" 9< "$of/contexts" \
				2< "$of/queue" 0< "$of/statistics"
			head -c 7 <&7 > /dev/null
			echo >> /tmp/opened
			# Polling for a file would keep a slow machine busy.
			read -r _ < /tmp/enough
		} &
	done
	for try in $(seq $((20 * PATIENCE))); do
		opened=$(($(wc -l < /tmp/opened) * 8))
		[ $opened -lt 1000 ] || break
		sleep 0.5
	done
	read_all 0
	detached=0 units=$(all_units)
	echo 1 > /sys/kernel/vtd/detach || detached=1
	read_all 0
	! rmmod vtd 2> /dev/null
	held=$?
	said=0
	for unit in $units; do
		grep -q 'disabled$' "$VTD/$unit/registers" &&
			grep -q "not enabled on $unit$" $INTEL/dmar_translation_struct || said=1
	done
	seq 125 >&5
	wait
	exec 5>&-
	[ $opened -ge 1000 ] || { echo "only $opened were open"; return 1; }
	[ $detached$held$said = 000 ] || { echo "detach $detached, rmmod $held, said $said"; return 1; }
	rmmod vtd
}

[ -n "$device" ] || ktap_skip_all "VTD_DISKS names no disk that may be overwritten"
[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver has different files"
ktap_start 15
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
log_start
block_device "$device" > /dev/null
payload $((8 << 20))
disk_io "$device" > /dev/null 2>&1
sleep 1
ALL=$(all_files)
ktap_check "every file is there" files_are_there
if devmem $(($(unit_base "$(unit_of "$device")"))) 32 > /dev/null 2>&1; then
	ktap_check "registers are what the unit holds" each_unit registers_are_hardwares
	ktap_check "context entries are what memory holds" entries_are_memorys
	ktap_check "the queue is what memory holds" each_unit queue_is_hardwares
else
	for what in registers "context entries" "the queue"; do
		ktap_skip "$what" "this kernel keeps them from /dev/mem"
	done
fi
ktap_check "the in-tree form has the same registers" each_unit regset_agrees
ktap_check "the counters are sent to the host" counted
ktap_check "waits by time add up to all waits" each_unit waits_add_up
ktap_check "a domain has mapped what its tables hold" domains_are_the_tables
ktap_check "groups, drivers and users are those of sysfs" groups_are_sysfss
if command -v send_dump > /dev/null; then
	ktap_check "all files are saved" send_dump
else
	ktap_skip "all files are saved" "no host is there to take them"
fi
ktap_check "every reading is whole while devices are removed" while_devices_go
if command -v host > /dev/null && grep -q mem /sys/power/state 2> /dev/null; then
	ktap_check "every reading is whole when the machine suspends" while_asleep
else
	ktap_skip "every reading is whole when the machine suspends" "no host is there to wake it"
fi
unload_drivers
ktap_check "a thousand open files do not hinder a detach" many_open
ktap_check "no file is left" eval '[ ! -e $VTD ] && [ ! -e $INTEL/iommu_regset ] && need_vtd'
ktap_check "no kernel warning" log_is_clean
ktap_end
