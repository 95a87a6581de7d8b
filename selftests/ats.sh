#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Devices that keep translations (ATS): which of them may, by the parameter ats=; an unmap takes a
# translation from the device before it returns; a blocked device has none; and a device that does
# not answer is cut off, while others continue. See Documentation/device-tlbs.rst, and
# Documentation/qemu-units.rst for the registers of the requesters.
#
# Boots: device-tlb, device-tlb-scalable
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"
. "$(dirname "$0")/lib/requester.sh"
. "$(dirname "$0")/lib/fio.sh"

TLBS=/sys/kernel/debug/vtd/device_tlbs
RUN=/sys/kernel/debug/vtd_ats/run
EIO="nput/output error"
# What a late device takes to answer, in microseconds; the unit allows more.
LATE=5000
WORD=0x1badcafe

command -v host > /dev/null || ktap_skip_all "no host is there to make devices silent"
[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver has other rules and no such files"
fio_is_there || ktap_skip_all "there is no fio"

# The machine of selftests/pytest/device_tlbs.py.
integrated=0000:00:0c.0
one=$(behind 0000:00:0e.0) two=$(behind 0000:00:10.0) outside=$(behind 0000:00:0f.0)
disk_with_ats=$(behind 0000:00:11.0)
for found in "$one" "$two" "$outside" "$disk_with_ats"; do
	[ -n "$found" ] || ktap_skip_all "the machine has no vtd-requester below two root ports and outside"
done
nvme=${VTD_DISKS%% *}

# --- what the driver decides ---

# control BDF [VALUE]: prints or writes the control register of its ATS capability, as octal bytes.
control() {
	control_at=$(($(extended_capability "$1" $ATS) + 6))
	if [ $# = 1 ]; then
		word "$1" $control_at 2
	else
		printf '%b' "$2" | dd of="$PCI/$1/config" bs=1 seek=$control_at conv=notrunc 2> /dev/null
	fi
}

# says BDF on|off PATTERN: the file says so of the device, and so does the device.
says() {
	said=$(grep "^$1 " $TLBS)
	echo "$said" | grep -Eq "^$1 $2, $3" || { echo "$1 is not \"$2, $3\": ${said:-no line}"; return 1; }
	case $2/$(($(control "$1") >> 15)) in
	on/1 | off/0) ;;
	*) echo "$said; the device's control register is $(control "$1")"; return 1 ;;
	esac
}

# loaded_with VALUE: the driver is loaded with this value of ats=, and no driver of a device is.
loaded_with() {
	need_no_vtd && log_start && load_vtd "ats=$1"
}

is_scalable() {
	dmesg | grep -q "vtd: $(unit_of "$one"): scalable mode"
}

is_refused() {
	need_no_vtd && log_start && ! insmod "$VTD_KO" ats=3 2> /dev/null &&
		log_has "not loaded: ats=3 is not valid: give 0"
}

never() {
	loaded_with 0 || return 1
	for bdf in "$one" "$two" "$disk_with_ats"; do
		says "$bdf" off 'not used: as chosen by ats=0$' || return 1
	done
	needed=', although the device needs it'
	is_scalable || needed=
	[ -z "$needed" ] || says "$integrated" off "not used: as chosen by ats=0$needed" || return 1
	grep -q 'on, ' $TLBS && { cat $TLBS; return 1; }
	grep -q '^ats=0$' /sys/kernel/vtd/parameters
}

where_needed() {
	loaded_with 1 || return 1
	for bdf in "$one" "$two" "$disk_with_ats"; do
		says "$bdf" off 'not used: the device does not need it' || return 1
	done
	if is_scalable; then
		says "$integrated" on 'used: firmware says that the device needs it \(SATC\)'
	else
		says "$integrated" off 'not used: in legacy mode hardware controls it'
	fi
}

everywhere() {
	loaded_with 2 || return 1
	for bdf in "$one" "$two" "$disk_with_ats"; do
		says "$bdf" on 'used: as chosen by ats=2' || return 1
	done
	log_has "vtd: $(unit_of "$one"): $one: its device-TLB is used: as chosen by ats=2"
}

# all_off: without the driver no device has ATS on.
all_off() {
	need_no_vtd || return 1
	for bdf in "$one" "$two" "$integrated" "$disk_with_ats" "$outside"; do
		[ "$(($(control "$bdf") >> 15))" = 0 ] || { echo "ATS of $bdf is on"; return 1; }
	done
}

# --- translations that are kept ---

# run WORDS: gives vtd_ats a command, and keeps its line.
run() {
	echo "$*" > $RUN || { echo "vtd_ats: $* failed"; return 1; }
	ran=$(cat $RUN)
}

# ran_word NAME: prints a value of that line.
ran_word() {
	echo "$ran" | sed -n "s/.*\b$1=\([^ ]*\).*/\1/p"
}

# keeps BDF: it keeps a translation of a page that is mapped for it.
keeps() {
	echo "free $1" > $RUN 2> /dev/null
	run map "$1" || return 1
	iova=$(ran_word iova) frame=$(ran_word phys)
	became=$(sends_of "$1" $TRANSLATE "$iova" $FOR_WRITE)
	[ "$became" = $COMPLETE ] && [ $(($(register_of "$1" 0x48))) = $((frame)) ] ||
		{ echo "the request for a translation of $iova: status $became; $ran"; return 1; }
}

# uses BDF STATUS: it writes by the translation that it keeps, with this status.
uses() {
	became=$(sends_of "$1" $WRITE "$iova" $USE_KEPT $WORD)
	[ "$became" = "$2" ] || { echo "the use of the kept translation: status $became, not $2"; return 1; }
}

# holds BDF WORD: the page begins with this.
holds() {
	run show "$1" && [ $(($(ran_word word))) = $(($2)) ] || { echo "the page: $ran"; return 1; }
}

kept_and_used() {
	before=$(register_of "$one" 0x80)
	keeps "$one" && uses "$one" $COMPLETE && holds "$one" $WORD &&
		[ $(($(register_of "$one" 0x80))) = $((before + 1)) ]
}

unmapped() {
	before=$(register_of "$one" 0xa0)
	run unmap "$one" && [ "$(ran_word messages)" -gt $((before)) ] && [ "$(ran_word kept)" = 0 ] ||
		{ echo "before the unmap $((before)) messages, then: $ran"; return 1; }
	uses "$one" $NOT_KEPT && run free "$one"
}

# late: the answer comes later, and the unmap waits for it.
late() {
	keeps "$one" || return 1
	register_of "$one" 0x68 2 && register_of "$one" 0x70 $LATE
	run unmap "$one" && register_of "$one" 0x68 0 || return 1
	[ "$(ran_word us)" -ge $LATE ] && [ "$(ran_word kept)" = 0 ] || { echo "$ran"; return 1; }
	run free "$one"
}

# cheats BDF FRAME: it turns ATS and its right to send requests on by itself; then a request that is
# translated already, and one for a translation, are blocked. Its control register is as before then.
cheats() {
	control_low=$(printf '\\0%o' $(($(control "$1") & 0xff)))
	control "$1" "$control_low\\0200"
	printf '\006' | dd of="$PCI/$1/config" bs=1 seek=4 conv=notrunc 2> /dev/null
	for request in "$WRITE $2 $AS_TRANSLATED" "$TRANSLATE $2 0"; do
		# shellcheck disable=SC2086 # words
		became=$(sends_of "$1" $request $WORD)
		[ "$became" = $BLOCKED ] || { echo "request $request of $1: status $became"; return 1; }
	done
	control "$1" "$control_low\\00"
}

blocked() {
	unbind "$one" && load_owner && ask "claim $one a" && is_now "$one" blocked && says "$one" off used &&
		cheats "$one" "$(memory_of_ours)" && ask "release $one" || return 1
	is_now "$one" DMA && says "$one" on used && bind "$one" vtd_attack
}

# memory_of_ours: prints the address of a page that vtd_ats has for the other requester.
memory_of_ours() {
	echo "free $two" > $RUN 2> /dev/null
	run map "$two" > /dev/null && ran_word phys
}

untrusted() {
	says "$outside" off 'not used: the device is untrusted' && run show "$two" &&
		cheats "$outside" "$(ran_word phys)" && holds "$two" 0 && run free "$two"
}

# --- devices that do not answer ---

# silent BDF: its unmap ends although it does not answer, and the page is beyond its reach.
silent() {
	keeps "$1" && register_of "$1" 0x68 3 && run unmap "$1" || return 1
	[ "$(ran_word us)" -lt 3000000 ] || { echo "the unmap took $(ran_word us) us"; return 1; }
	is_beyond_reach "$1"
}

# is_beyond_reach BDF: it does not reach the page by the translation that it keeps.
is_beyond_reach() {
	became=$(sends_of "$1" $WRITE "$iova" $USE_KEPT $WORD)
	[ "$became" != $COMPLETE ] && holds "$1" 0 || { echo "the use of the translation: status $became"; return 1; }
}

# cut_off BDF: the log and the list of users say so, and then it reaches its page by no request.
cut_off() {
	log_has "$1 .*did not answer a device-TLB invalidation and is cut off" && is_now "$1" quarantined &&
		run show "$1" && cheats "$1" "$(ran_word phys)" && holds "$1" 0
}

# stays_cut_off BDF: it is attached to nothing.
stays_cut_off() {
	unbind "$1" && load_owner && ask "new a $1" || return 1
	refuses "$EIO" "attach a $1" || { ask "detach a $1"; ask "free a"; return 1; }
	ask "free a" && is_now "$1" quarantined
}

# again BDF: it keeps a translation as before, and gives it back.
again() {
	is_now "$1" DMA && says "$1" on used && unbind "$1" && bind "$1" vtd_attack && keeps "$1" &&
		run unmap "$1" && [ "$(ran_word kept)" = 0 ] && run free "$1"
}

comes_back_by_reset() {
	run free "$one" && echo 1 > "$PCI/$one/reset" && again "$one"
}

comes_back_by_rescan() {
	for bdf in "$one" "$two"; do
		# A rescan does not reset a device.
		register_of "$bdf" 0x68 0 && run free "$bdf" && echo 1 > "$PCI/$bdf/remove" || return 1
	done
	echo 1 > /sys/bus/pci/rescan
	for bdf in "$one" "$two"; do
		is_present "$bdf" 1 && again "$bdf" || return 1
	done
}

# The unit does not say which device it was. Only one had an invalidation.
silent_without_name() {
	host ite-source "$base" off && silent "$one" && cut_off "$one"
}

# Both have an invalidation in the queue before the first one is missed, and the second one answers.
two_suspects() {
	keeps "$two" && keeps "$one" && register_of "$one" 0x68 3 && run both "$one" "$two" &&
		is_beyond_reach "$one"
}

works() {
	for disk in "$nvme" "$disk_with_ats"; do
		fio_starts "$(block_device "$disk")" || return 1
	done
}

others_go_on() {
	fio_goes_on "$(block_device "$nvme")"
}

unplugged() {
	says "$disk_with_ats" on used && fio_starts "$device" &&
		host unplug atsdisk && is_present "$disk_with_ats" 0 && fio_failed "$device"
}

ktap_start 25
ktap_check "ats=3: the load is refused" is_refused
ktap_check "ats=0: no device uses its device-TLB" never
ktap_check "ats=1: the device that needs it does, as far as software controls it" where_needed
ktap_check "ats=2: each that can does" everywhere
ktap_check "unloaded: ATS is off" all_off
need_vtd > /tmp/need 2>&1 && insmod "$VTD_TEST_MODULES/vtd_ats.ko" ||
	ktap_abort "the module does not load: $(cat /tmp/need)"
base=$(unit_base "$(unit_of "$one")") device=$(block_device "$disk_with_ats")
log_start
mark "ats kept begin"
ktap_check "a translation is requested, kept and used" kept_and_used
ktap_check "an unmap takes it from the device before it returns" unmapped
ktap_check "an unmap waits for the answer" late
ktap_check "a blocked device has no translation, and gets none" blocked
ktap_check "nor does an untrusted device" untrusted
mark "ats kept end"
ktap_check "disks with and without ATS are in use" works
log_start
mark "ats silent begin"
ktap_check "a device that does not answer: the page is beyond its reach" silent "$one"
mark "ats silent end"
ktap_check "the log and the list of users say so, and no request reaches the page" cut_off "$one"
ktap_check "it is attached to nothing" stays_cut_off "$one"
ktap_check "a reset brings it back" comes_back_by_reset
ktap_check "other disks continue" eval 'others_go_on && fio_goes_on "$device"'
ktap_check "no byte of the disk with ATS was lost" fio_ends "$device"
log_start
ktap_check "a device that the unit does not name is cut off, too" silent_without_name
ktap_check "a reset brings it back again" comes_back_by_reset
log_start
ktap_check "one of two does not answer, and the unit does not name it" two_suspects
ktap_check "both are cut off: either may have been it" eval 'cut_off "$one" && cut_off "$two"'
ktap_check "the third time a reset does not bring it back" \
	eval 'echo 1 > "$PCI/$one/reset" && is_now "$one" quarantined'
ktap_check "a rescan brings them back" comes_back_by_rescan
host ite-source "$base" on > /dev/null
ktap_check "a disk with ATS is unplugged while it is in use" unplugged
ktap_check "other disks continue, no byte was lost, and the kernel gives no warning" \
	eval 'others_go_on && fio_ends "$(block_device "$nvme")" && dmesg_is_clean'
rmmod vtd_ats
ktap_end
