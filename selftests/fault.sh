#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The text of fault reports. One noisy device does not suppress the reports of another.
#
# Boots: raced, ordinary, caching-mode, races, scalable
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"

FLOOD=60
# The log shows at most this many faults of a device in this many seconds.
SHOWN=10
SECONDS_OF_SHOWN=5

# flood BDF: raises the faults; sets took to the seconds it took, rounded up.
flood() {
	count=0
	began=$(cut -d. -f1 /proc/uptime)
	while [ $count -lt $FLOOD ]; do
		attack "$1" never-mapped || return 1
		count=$((count + 1))
	done
	took=$(($(cut -d. -f1 /proc/uptime) - began + 1))
}

lines_about() {
	log_since | grep -c "fault: device $1"
}

is_limited() {
	about=$(lines_about "$1")
	[ "$about" -ge $SHOWN ] && [ "$about" -le $((SHOWN * (1 + took / SECONDS_OF_SHOWN))) ] ||
		{ echo "$about lines about $FLOOD faults in $took s"; return 1; }
	log_has "fault: further faults of $1 are counted but not logged for up to $SECONDS_OF_SHOWN s"
}

# not_shown BDF: sums the counts of faults that the log says were not logged.
not_shown() {
	log_since | sed -n "s/.*fault: \([0-9]*\) more faults of $1 were not logged.*/\1/p" |
		awk '{ sum += $1 } END { print sum + 0 }'
}

# A flood of more than $SECONDS_OF_SHOWN s was reported in part while it lasted.
logs_suppressed() {
	[ "$held_back" -eq 0 ] || log_has "fault: $held_back more faults of $1 were not logged"
}

# says SCENARIO PATTERN: the report of an attack says this about the address.
says() {
	log_start
	attack "$quiet" "$1" && log_has "fault: device $quiet.*; it was $2"
}

attack_is_refused() {
	attack "$1" never-mapped && [ "$(attack_word landed)" = 0 ] || { echo "$attacked"; return 1; }
}

is_recorded_and_reported() {
	log_start
	records_faults 1 attack_is_refused "$1" && log_has "fault: device $1"
}

# domain_of BDF: prints what debugfs says of its domain, in the words of a report.
domain_of() {
	sed -n "s/.*device=$1 .*domain=\(#[0-9]*\) domain-id=\([0-9]*\).*/domain \1, domain-id \2/p" \
		/sys/kernel/debug/vtd/groups
}

# attach_again DEVICE: attaches it to another domain and back.
attach_again() {
	driver=$(driver_of "$1")
	echo "$1" > "$PCI/$1/driver/unbind" &&
		echo identity > "$PCI/$1/iommu_group/type" &&
		echo DMA > "$PCI/$1/iommu_group/type" &&
		echo "$1" > "/sys/bus/pci/drivers/$driver/bind"
}

noisy=$(pci_by_id 0x1b36:0x0005 | head -n1)
quiet=$(pci_by_id 0x1234:0x11e8 | head -n1)
[ -n "$noisy" ] && [ -n "$quiet" ] || ktap_skip_all "iommu-testdev and edu are not both there"

ktap_start 28
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
# A device has ten reports in five seconds, and earlier tests may have used some of them.
sleep 6
log_start
mark "fault report begin"
ktap_check "a fault is recorded" records_faults 1 attack_is_refused "$quiet"
ktap_check "the report names the device" log_has "fault: device $quiet"
ktap_check "readers of the log find the report by the device" log_is_about "$quiet" "fault: device $quiet"
ktap_check "the report names the device's driver" log_has "fault: device $quiet.*vtd_attack"
ktap_check "the report names the access" log_has "fault: device $quiet.*write"
ktap_check "the report gives the reason in words and as a code" \
	log_has "fault: device $quiet.*refused: .*[a-z]+ .*reason 0x$(reason_of "$quiet" write)"
ktap_check "the report names the unit" log_has "vtd: $(unit_of "$quiet"): fault: device $quiet"
ktap_check "the report has the domain's number, domain-id and type" \
	log_has "fault: device $quiet.*, $(domain_of "$quiet") \(DMA, (strict|lazy)\)"
ktap_check "the report names the group and its owner" \
	log_has "fault: device $quiet \(driver vtd_attack, group [0-9]+, owner kernel\)"
ktap_check "the report names the section of the specification" log_has "VT-d [0-9.]+, reason"
ktap_check "never mapped: the report says so" says never-mapped 'never mapped in this domain'
ktap_check "mapped for the other direction: the report says so" says read-only 'mapped for reading only '
ktap_check "unmapped: the report says when, and what it had been" \
	says unmapped 'unmapped [0-9a-z ]+ ago, having been mapped for reading and writing .* ago'
sleep 6
mark "fault flood begin"
# An earlier window may be open: an attach does not end it.
before=$(sed -n "s/^$noisy .*not-shown=\([0-9]*\).*/\1/p" /sys/kernel/debug/vtd/faults)
before=${before:-0}
log_start
counted=$(faults_recorded)
ktap_check "a device faults $FLOOD times" flood "$noisy"
ktap_check "reports about it are rate limited" is_limited "$noisy"
attack "$quiet" never-mapped
ktap_check "another device's fault is still reported" log_has "fault: device $quiet"
# A fault of a device is not recorded while its previous one is still in the record. How many
# were recorded is for the host to check.
rose=$(($(settled faults_recorded) - counted))
mark "fault flood end"
say "faults counted=$rose"
ktap_check "faults are counted" test $rose -ge 2 -a $rose -le $((FLOOD + 1))

held_back=$((before + rose - 1 - $(lines_about "$noisy") - $(not_shown "$noisy")))
sleep 6
mark "fault storm begin"
log_start
ktap_check "a device raises a storm" attack "$noisy" storm
ktap_check "the log says how many faults were not logged" logs_suppressed "$noisy"
ktap_check "the log says that its faults are no longer recorded" \
	log_has "device $noisy raised 1000 faults within [0-9]+ ms:.*no longer recorded"
ktap_check "readers of the log find all lines about it by the device" log_is_about "$noisy" "fault: .*$noisy"
mark "fault storm end"
mark "fault silence begin"
ktap_check "further faults of it are refused and not recorded" \
	records_faults 0 attack_is_refused "$noisy"
mark "fault silence end"
ktap_check "another device's fault is recorded and reported" is_recorded_and_reported "$quiet"
# The window in which it stormed would silence it again immediately.
sleep 6
log_start
ktap_check "the device is attached to another domain and back" attach_again "$noisy"
ktap_check "that turns its recording on, and is logged" log_has "$noisy: its faults are recorded again"
ktap_check "its faults are recorded and reported again" is_recorded_and_reported "$noisy"
ktap_check "the counts of each device are in debugfs" \
	grep -Eq "^$noisy faults=[0-9]{4,} not-shown=[0-9]+ recorded=yes" /sys/kernel/debug/vtd/faults
ktap_check "no kernel warning" log_is_clean
ktap_end
