# SPDX-License-Identifier: GPL-2.0
#
# What the tests of held memory share. Sourced after common.sh; they set bdf to the address of
# iommu-testdev.
# shellcheck shell=dash

KEEP=/sys/kernel/debug/vtd_keep/run

# counted_as NAME: prints this counter of the device's unit.
counted_as() {
	sed -n "s/^$1: //p" "/sys/kernel/debug/vtd/$(unit_of "$bdf")/statistics"
}

# loaded_with PARAMETER...: the module is loaded with these, and nothing else changes.
loaded_with() {
	need_no_vtd && load_vtd "$@" && load_drivers
}

# attackers_with PARAMETER...: the same, and only the devices that are attacked with have drivers: this
# takes less time, and others would wait for their devices if the unit failed.
attackers_with() {
	need_no_vtd && load_vtd "$@" && load_attackers
}

load_attackers() {
	insmod "$VTD_TEST_MODULES/vtd_devices.ko" && insmod "$VTD_TEST_MODULES/vtd_attack.ko"
}

# more NAME COUNT COMMAND...: this counter grows by at least so much.
more() {
	more_name=$1 more_least=$2 more_before=$(counted_as "$1")
	shift 2
	"$@" || return 1
	[ $(($(counted_as "$more_name") - more_before)) -ge "$more_least" ] ||
		{ echo "$more_name was $more_before and is $(counted_as "$more_name")"; return 1; }
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

# keeps REQUEST: a request of vtd_keep; its answer is printed, and in $kept.
keeps() {
	echo "$1" > $KEEP || { echo "vtd_keep cannot do: $1"; return 1; }
	kept=$(cat $KEEP)
	echo "$1: $kept"
}

# none_left COUNT: this many references were taken, and all of them are released.
none_left() {
	for try in $(seq $((20 * PATIENCE))); do
		keeps left > /tmp/kept
		case $kept in
		"taken=$1 left=0 "*) return 0 ;;
		esac
		sleep 0.1
	done
	cat /tmp/kept
	return 1
}

# reclaimed: PAGES pages are held. No timer runs, and the only flush is the one for which the kernel asks as it has no
# memory left.
reclaimed() {
	more flushed-reclaim 1 keeps "reclaim $PAGES" || return 1
	case $kept in
	"taken=$PAGES left=0 us=0 "*) echo "nothing was released: $kept"; return 1 ;;
	"taken=$PAGES left=0 us="*) keeps free ;;
	*) echo "$kept"; return 1 ;;
	esac
}
