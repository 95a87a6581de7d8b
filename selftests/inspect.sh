#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# What debugfs shows is the actual state. It is compared with the hardware's registers and tables
# as /dev/mem shows them, with sysfs, with itself and, by the host, with QEMU's trace. Every
# reading is whole while devices are added and removed and while the machine suspends.
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"

VTD=/sys/kernel/debug/vtd
UNIT=$VTD/dmar0
INTEL=/sys/kernel/debug/iommu/intel
SYSFS=/sys/class/iommu/dmar0/intel-iommu
device=${VTD_DISKS%% *}

served() {
	for link in /sys/class/iommu/dmar0/devices/*; do basename "$link"; done
}

# word NAME: prints the value of NAME=value in the line on standard input.
word() {
	tr ' ' '\n' | sed -n "s/^$1=//p"
}

# memory ADDRESS WIDTH: reads /dev/mem; prints it without leading zeros.
memory() {
	printf '%x' "$(devmem "$1" "$2")"
}

# register NAME: prints its value in the file.
register() {
	awk -v name="$1" '$1 == name { print $3 }' $UNIT/registers
}

ALL="$VTD/users $VTD/groups $VTD/domains $VTD/faults $UNIT/statistics $UNIT/waits $UNIT/registers
	$UNIT/contexts $UNIT/queue $INTEL/iommu_regset $INTEL/dmar_translation_struct
	$INTEL/invalidation_queue"

files_are_there() {
	for file in $ALL; do
		[ -r "$file" ] || { echo "there is no $file"; return 1; }
		[ "$file" = $VTD/faults ] || [ -s "$file" ] || grep -q . "$file" ||
			{ echo "$file is empty"; return 1; }
	done
}

# Reads every register of the file again by /dev/mem. The tail moves only when an invalidation is
# submitted, and none is.
registers_are_hardwares() {
	base=0x$(cat $SYSFS/address)
	count=0
	tail -n +2 $UNIT/registers | sed 's/^FRCD /FRCD/' > /tmp/registers
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
	head -n 1 $INTEL/iommu_regset | grep -q "^IOMMU: dmar0 Register Base Address: $(cat $SYSFS/address)$" &&
		sed -n 2p $INTEL/iommu_regset | grep -q '^Name.*Offset.*Contents$' ||
		{ head -n 2 $INTEL/iommu_regset; return 1; }
	for name in VER CAP ECAP GSTS RTADDR IQA FECTL FEDATA; do
		shown=$(awk -v name=$name '$1 == name { print $3 }' $INTEL/iommu_regset)
		[ $((shown)) -eq $(($(register $name))) ] ||
			{ echo "$name is $shown here and $(register $name) there"; return 1; }
	done
}

# entry BDF: prints the two words of its context entry in memory, found through RTADDR.
entry() {
	bus=${1#*:} bus=${bus%%:*}
	slot=${1##*:}
	devfn=$((0x${slot%.*} << 3 | ${slot#*.}))
	root=$(($(register RTADDR) + 0x$bus * 16))
	table=$((0x$(memory $root 64) & ~0xfff))
	echo "$(memory $((table + devfn * 16)) 64) $(memory $((table + devfn * 16 + 8)) 64)"
}

entries_are_memorys() {
	count=0
	for bdf in $(served); do
		line=$(grep "^${bdf#*:}" $INTEL/dmar_translation_struct) ||
			{ echo "$bdf has no line"; return 1; }
		shown=$(echo "$line" | awk '{ print $3 }')
		held=$(entry "$bdf")
		high=${held#* } low=${held% *}
		[ $((${shown##*:})) -eq $((0x$low)) ] && [ $((${shown%%:*})) -eq $((0x$high)) ] ||
			{ echo "$bdf is shown as $shown, memory has $high:$low"; return 1; }
		id=$((0x$high >> 8 & 0xffff)) table=$(printf '%x' $((0x$low & ~0xfff)))
		grep -q "^  ${bdf#*:} domain-id $id, table 0x$table, " $UNIT/contexts ||
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

queue_is_hardwares() {
	base=$(sed -n 's/^base: //p' $UNIT/queue)
	[ $((base)) -eq $(($(register IQA) & ~0xfff)) ] || { echo "it is not at $base"; return 1; }
	[ "$(sed -n 's/^pending: //p' $UNIT/queue)" = 0 ] || { echo "something is pending"; return 1; }
	[ "$(grep -c '^ *[0-9]* 0x' $UNIT/queue)" -eq 32 ] || { cat $UNIT/queue; return 1; }
	[ "$(tail -n 1 $UNIT/queue | grep -c 'done *wait: write')" -eq 1 ] ||
		{ echo "the last one is no wait"; tail -n 1 $UNIT/queue; return 1; }
	tail -n 8 $UNIT/queue > /tmp/queue
	while read -r slot low high rest; do
		at=$((base + slot * 16))
		[ $((low)) -eq $((0x$(memory $at 64))) ] && [ $((high)) -eq $((0x$(memory $((at + 8)) 64))) ] ||
			{ echo "slot $slot is shown as $low $high"; return 1; }
		full=$(printf '%5d\t%016x\t%016x\t' "$slot" $((low)) $((high)))
		grep -q "^$full" $INTEL/invalidation_queue || { echo "the other file lacks: $full"; return 1; }
	done < /tmp/queue
	[ "$(grep -c '^ *[0-9]*	[0-9a-f]*	' $INTEL/invalidation_queue)" -eq 256 ]
}

# The guest is idle between the two marks: the host compares with the trace.
counted() {
	sync
	settled cat $UNIT/statistics > /dev/null || return 1
	mark "inspect counts begin"
	say "inspect-before $(tr -d ' ' < $UNIT/statistics | tr ':\n' '= ')"
	dd if="/dev/$(block_device "$device")" of=/dev/null bs=64k count=64 iflag=direct 2> /dev/null
	echo 1 > "$PCI/$device/remove"
	echo 1 > /sys/bus/pci/rescan
	block_device "$device" > /dev/null || return 1
	settled cat $UNIT/statistics > /dev/null || return 1
	say "inspect-after $(tr -d ' ' < $UNIT/statistics | tr ':\n' '= ')"
	mark "inspect counts end"
}

waits_add_up() {
	sum=$(awk '{ sum += $2 } END { print sum }' $UNIT/waits)
	wanted=$(awk '$1 == "waits:" { print $2 }' $UNIT/statistics)
	[ "$sum" -gt 100 ] && [ "$sum" -eq "$wanted" ] ||
		{ echo "$sum by time, $wanted waits"; cat $UNIT/waits; return 1; }
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
	counted=$(awk '$1 == "maps:" { print $2 }' $UNIT/statistics)
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
	rm -f /tmp/enough /tmp/opened
	mkfifo /tmp/enough && exec 5<> /tmp/enough || return 1
	for opener in $(seq 125); do
		{
			exec 4< $VTD/groups 5< $VTD/domains 6< $INTEL/dmar_translation_struct \
				7< $INTEL/invalidation_queue 8< $UNIT/registers 9< $UNIT/contexts \
				2< $UNIT/queue 0< $UNIT/statistics
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
	detached=0
	echo 1 > /sys/kernel/vtd/detach || detached=1
	read_all 0
	! rmmod vtd 2> /dev/null
	held=$?
	grep -q 'disabled$' $UNIT/registers && grep -q 'not enabled on dmar0' $INTEL/dmar_translation_struct
	said=$?
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
ktap_check "every file is there" files_are_there
if devmem $((0x$(cat $SYSFS/address))) 32 > /dev/null 2>&1; then
	ktap_check "registers are what the unit holds" registers_are_hardwares
	ktap_check "context entries are what memory holds" entries_are_memorys
	ktap_check "the queue is what memory holds" queue_is_hardwares
else
	for what in registers "context entries" "the queue"; do
		ktap_skip "$what" "this kernel keeps them from /dev/mem"
	done
fi
ktap_check "the in-tree form has the same registers" regset_agrees
ktap_check "the counters are sent to the host" counted
ktap_check "waits by time add up to all waits" waits_add_up
ktap_check "a domain has mapped what its tables hold" domains_are_the_tables
ktap_check "groups, drivers and users are those of sysfs" groups_are_sysfss
if [ -x /guest/vtd-save ]; then
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
