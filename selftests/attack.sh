#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# A device reaches the pages that are mapped for it and no others. Any other access is refused
# and reported with device, access, address and reason.
#
# Boots: watched, ordinary*, server, client*, three-levels, without-queue, caching-mode, scalable, scalable-caching, first-stage
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"

ALL="allowed-write allowed-read read-only write-only never-mapped never-mapped-read unmapped unmapped-read"
WRITES="allowed-write read-only never-mapped unmapped"

# The page number of an address, without leading zeros.
page_of() {
	printf '%x' $(($1 >> 12))
}

# outcome BDF SCENARIO: makes the attempt and compares the result with the expected one.
outcome() {
	attack "$1" "$2" || return 1
	echo "$attacked"
	[ "$(attack_word error)" = 0 ] || return 1
	case $2/$(stage_of "$1") in
	allowed-*/* | write-only/first)
		[ "$(attack_word landed)" = 1 ] ;;
	*)
		[ "$(attack_word landed)" = 0 ] && [ "$(attack_word intact)" = 1 ] &&
			case $2 in
			unmapped*) [ "$(attack_word warm)" = 1 ] ;;
			esac ;;
	esac
}

# reported BDF SCENARIO: the driver's log line about it.
reported() {
	access=$(attack_word access)
	case $2 in
	*-only) code=$(reason_of "$1" "$access" present) ;;
	*) code=$(reason_of "$1" "$access") ;;
	esac
	log_has "vtd: .*fault: device $1 .*$access.* 0x0*$(page_of "$(attack_word iova)")[0-9a-f]{3} .*reason 0x$code\\)"
}

not_reported() {
	! log_since | grep "fault: device $1"
}

found=$(attackers)
[ -n "$found" ] || ktap_skip_all "no device for DMA tests is there"
plan=0
for bdf in $found; do
	case $(cat "$PCI/$bdf/device") in
	0x11e8 | 0x00f0) plan=$((plan + 16)) ;;
	*) plan=$((plan + 8)) ;;
	esac
done
ktap_start $((plan + 1))
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
start=$(cat /proc/uptime)
for bdf in $found; do
	scenarios=$WRITES
	[ "$(cat "$PCI/$bdf/device")" = 0x0005 ] || scenarios=$ALL
	for scenario in $scenarios; do
		mark "attack $bdf $scenario"
		log_start
		case $scenario/$(stage_of "$bdf") in
		allowed-*/* | write-only/first)
			ktap_check "$bdf: $scenario lands" outcome "$bdf" "$scenario"
			ktap_check "$bdf: $scenario is no fault" not_reported "$bdf" ;;
		*)
			ktap_check "$bdf: $scenario is refused" outcome "$bdf" "$scenario"
			ktap_check "$bdf: $scenario is reported" reported "$bdf" "$scenario" ;;
		esac
		say "attack $attacked"
	done
done
mark "attack done"
ktap_check "no kernel warning" dmesg_is_clean
ktap_end
