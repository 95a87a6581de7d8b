#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Devices behind different units, with one domain: what is unmapped is out of reach of both. A unit
# that cannot walk the domain is left alone. What happens to one unit does not concern the other:
# its devices leave, are unplugged, or it is slow, stops, or fails. In the short form there are fewer
# rounds, one unit is slow, one stops, the other reports an error, and nothing is suspended.
#
# Boots: server, shared-domains
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"
. "$(dirname "$0")/lib/vfio_users.sh"
. "$(dirname "$0")/lib/fio.sh"
. "$(dirname "$0")/lib/memory.sh"

INJECT=/sys/kernel/vtd/inject_error
MODES="type1 iommufd hwpt"
CYCLES=100 VF_CLAIMS=8
# Milliseconds after which a slow unit completes what was submitted until then.
LATE=400
# In pages, see load-cycles.sh.
SLABS=64

command -v host > /dev/null || ktap_skip_all "no host is there to hold a queue"
fio_is_there || ktap_skip_all "there is no fio"
[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver has no list of domains"
for program in vfio_units vfio_join vfio_outage vfio_igbvf; do
	[ -x "$PROGRAMS/$program" ] || ktap_skip_all "$program was not built"
done

# behind_unit UNIT FUNCTION...: prints the first of these functions that is behind the unit.
behind_unit() {
	wanted_unit=$1
	shift
	for candidate in "$@"; do
		[ "$(unit_of "$candidate")" != "$wanted_unit" ] || { echo "$candidate"; return 0; }
	done
	echo "none of these is behind $wanted_unit: $*" >&2
	return 1
}

testdevs() {
	pci_by_id 0x1b36:0x0005
}

# pairs: prints each pair of iommu-testdevs behind different units, of which one is the first.
pairs() {
	pairs_first=$(testdevs | head -n1)
	for pairs_other in $(testdevs); do
		[ "$(unit_of "$pairs_other")" = "$(unit_of "$pairs_first")" ] ||
			echo "$pairs_first $pairs_other"
	done
}

# ids: prints the number of domain-ids in use on each unit.
ids() {
	for ids_unit in $(all_units); do echo "$ids_unit $(domain_ids "$ids_unit")"; done
}

# same_ids BEFORE [UNIT CHANGE]: each unit has as many as before, but for this change on one.
same_ids() {
	same_wanted=$(echo "$1" | awk -v unit="${2-}" -v change="${3-0}" \
		'{ print $1, $2 + ($1 == unit ? change : 0) }')
	[ "$(ids)" = "$same_wanted" ] ||
		{ echo "wanted:"; echo "$same_wanted"; echo "now:"; ids; return 1; }
}

sleep_and_wake() {
	host wake-later && echo mem > /sys/power/state
}

if is_short; then CYCLES=10; fi

# --- one domain for two devices ---

# shares MODE BDF BDF: the claims of a user of both devices.
shares() {
	shares_claims=18
	[ "$1" != hwpt ] || shares_claims=20
	user_claims "$1, $2 first, then $3" $shares_claims "$PROGRAMS/vfio_units" "$@"
	! grep -q 'note shared=1' /tmp/claims || echo "$*" >> /tmp/shared
	! grep -q 'domain is refused' /tmp/claims || refused=1
}

# capabilities UNIT: prints those that matter for a domain; caching mode does not.
capabilities() {
	echo "$((0x$(cat "$UNITS/$1/intel-iommu/cap") & ~0x80)) $(cat "$UNITS/$1/intel-iommu/ecap")"
}

# are_alike: the units of a pair have the same capabilities.
are_alike() {
	while read -r one other; do
		[ "$(capabilities "$(unit_of "$one")")" != "$(capabilities "$(unit_of "$other")")" ] ||
			return 0
	done <<- END
		$pairs
	END
	return 1
}

# is_shared_by MODE: a pair had one domain, whichever device came first.
is_shared_by() {
	awk -v mode="$1" '$1 == mode { seen[$2, $3] = 1; if (seen[$3, $2]) both = 1 }
		END { exit !both }' /tmp/shared || { echo "one domain:"; cat /tmp/shared; return 1; }
}

# choose_pair: sets the devices of what follows, in the order in which one domain serves both units.
# Each unit has a disk.
choose_pair() {
	while read -r mode owner guest; do
		[ "$mode" = iommufd ] || continue
		for chosen in "$owner" "$guest"; do
			behind_unit "$(unit_of "$chosen")" ${VTD_DISKS:-} > /dev/null || continue 2
		done
		return 0
	done < /tmp/shared
	echo "no pair has one domain for both units, and a disk behind each:"
	cat /tmp/shared
	return 1
}

# joins COUNT
joins() {
	"$PROGRAMS/vfio_join" "$1" "$owner" "$guest" > /tmp/joined 2>&1 || { cat /tmp/joined; return 1; }
}

# --- hot-plug ---

disk_is_unplugged() {
	host unplug-nvme farnvme && is_present "$far_disk" 0
}

# The slot may still be busy, see hotplug.sh.
disk_is_plugged() {
	for try in $(seq $((3 * PATIENCE))); do
		sleep 3
		host plug-nvme farnvme > /tmp/plugged && is_present "$far_disk" 1 && break
		cat /tmp/plugged
	done
	[ "$(unit_of "$far_disk")" = "$far_unit" ] && disk_io "$far_disk"
}

# functions COUNT: as many virtual functions exist, each behind the unit of the physical one.
functions() {
	echo "$1" > "$PCI/$pf/sriov_numvfs" || return 1
	for link in "$PCI/$pf"/virtfn*; do
		[ ! -e "$link" ] || [ "$(unit_of "$(basename "$(readlink "$link")")")" = "$pf_unit" ] ||
			return 1
	done
}

# has_user: a virtual function is given to a user, whose packets it sends.
has_user() {
	net_device "$pf" > /dev/null && give_to_user "$(basename "$(readlink "$PCI/$pf/virtfn1")")"
}

# --- something happens to one unit ---

# is_late UNIT: six results about a user whose device is behind a unit that is slow.
is_late() {
	begins "$PROGRAMS/vfio_outage" slow "$1" "$owner" "$guest"
	step 1 "$1 is slow"
	host queue "$(unit_base "$1")" late=$LATE > /tmp/answer || cat /tmp/answer
	step 5 "$1 is slow"
	host queue "$(unit_base "$1")" runs
	ends
}

# fresh: the driver is loaded again, a user can have both devices, a disk of the spared unit is in
# use. No other disk has a driver, which would report for minutes that it is blocked.
fresh() {
	for bdf in $(testdevs); do
		[ "$(driver_of "$bdf")" != vfio-pci ] || take_back "$bdf" || return 1
	done
	need_no_vtd && insmod "$VTD_KO" test_hooks=1 && insmod "$VTD_TEST_MODULES/vtd_devices.ko" &&
		insmod "$VTD_TEST_MODULES/vtd_attack.ko" && modprobe nvme || return 1
	disk_bdf=$(behind_unit "$spared" ${VTD_DISKS:-}) || return 1
	for bdf in ${VTD_DISKS:-}; do
		[ "$bdf" = "$disk_bdf" ] || unbind "$bdf"
	done
	disk=$(block_device "$disk_bdf") && give_to_user "$owner" && give_to_user "$guest" &&
		fio_starts "$disk"
}

edu_behind() {
	# shellcheck disable=SC2046
	behind_unit "$1" $(pci_by_id 0x1234:0x11e8)
}

# kernel_reaches UNIT: edu, which the kernel drives, reaches what is mapped for it.
kernel_reaches() {
	edu=$(edu_behind "$1") && attack "$edu" allowed-write && [ "$(attack_word landed)" = 1 ] ||
		{ echo "$attacked"; return 1; }
}

# kernel_is_refused UNIT: it does not. Nothing can be mapped behind a failed unit in caching mode.
kernel_is_refused() {
	edu=$(edu_behind "$1") || return 1
	if attack "$edu" allowed-write > /tmp/attacked 2>&1; then
		[ "$(attack_word landed)" = 0 ] || { echo "$attacked"; return 1; }
	else
		grep "cannot do" /tmp/attacked || { cat /tmp/attacked; return 1; }
	fi
}

is_logged_once() {
	log_has "vtd: $struck: .*every device behind it is blocked from now on" || return 1
	[ "$(log_since | grep -c 'every device behind it is blocked')" = 1 ] || { log_since; return 1; }
}

stops() {
	host queue "$base" held
}

reports_error() {
	echo "$struck invalid-descriptor" > $INJECT
}

# starts: one result.
starts() {
	ktap_check "$name: the driver is loaded, and a disk of $spared is in use" fresh
	base=$(unit_base "$struck")
	log_start
}

# fails COMMAND: the command makes the unit fail; sixteen results.
fails() {
	begins "$PROGRAMS/vfio_outage" fails "$struck" "$owner" "$guest"
	step 1 "$name"
	ktap_check "$name: it does" "$1"
	step 10 "$name"
	ktap_check "$name: the log says so once" is_logged_once
	ktap_check "$name: the disk of $spared continues" fio_goes_on "$disk"
	ktap_check "$name: a device of $spared reaches memory of the kernel" kernel_reaches "$spared"
	ktap_check "$name: a device of $struck reaches none" kernel_is_refused "$struck"
	ends
}

# suspends: six results about a suspend while one domain serves both units.
suspends() {
	begins "$PROGRAMS/vfio_outage" sleeps "$struck" "$owner" "$guest"
	step 1 "suspend"
	ktap_check "suspend: the machine suspends and resumes" sleep_and_wake
	step 4 "suspend"
	ends
}

# suspends_failed: four results about a suspend while one unit has failed.
suspends_failed() {
	ktap_check "$name: the machine suspends and resumes" sleep_and_wake
	ktap_check "$name: the log says that it stays failed" \
		log_has "$struck: failed before suspend and stays failed"
	ktap_check "$name: $spared and its disk continue" \
		eval 'kernel_reaches "$spared" && fio_goes_on "$disk"'
	ktap_check "$name: $struck is blocked as before" kernel_is_refused "$struck"
}

# detaches: two results.
detaches() {
	ktap_check "$name: no byte of the disk was lost" fio_ends "$disk"
	take_back "$owner"
	take_back "$guest"
	ktap_check "$name: the driver detaches" need_no_vtd
	host queue "$base" runs
}

need_vtd > /tmp/need 2>&1 || { ktap_start 1; ktap_abort "the module does not load: $(cat /tmp/need)"; }
pairs=$(pairs)
[ -n "$pairs" ] || ktap_skip_all "no two iommu-testdevs are behind different units"
count=$(echo "$pairs" | wc -l)
far_disk=$(cmdline guest.disk)
pf=$(pci_by_id 0x8086:0x10c9 | head -n1)
payload $((4 << 20))
units_late=2 units_failing=4 suspended=10
if is_short; then units_late=1 units_failing=2 suspended=0; fi
ktap_start $((count * (4 * 18 + 2 * 20) + 4 + 5 + 4 + 5 + VF_CLAIMS + units_late * 6 +
	units_failing * (1 + 16 + 2) + suspended + 1))
log_start
for bdf in $(testdevs); do give_to_user "$bdf"; done
ids_before=$(ids)
: > /tmp/shared
refused=0
while read -r one other; do
	for mode in $MODES; do
		shares $mode "$one" "$other"
		shares $mode "$other" "$one"
	done
done <<- END
	$pairs
END
for mode in $MODES; do
	what="$mode: a pair had one domain, whichever device came first"
	if are_alike; then
		ktap_check "$what" is_shared_by $mode
	else
		ktap_skip "$what" "no two units have the same capabilities"
	fi
done
ktap_check "a domain was refused to a unit that cannot walk it" test $refused = 1

choose_pair > /tmp/chosen 2>&1 || ktap_abort "$(cat /tmp/chosen)"
unowned=$(unowned)
joins 10
slabs=$(slab_pages)
ktap_check "a user opens and closes both devices $CYCLES times" joins $CYCLES
check_exactly "slabs grow by at most $SLABS pages" test $(($(slab_pages) - slabs)) -le $SLABS
ktap_check "no page is leaked" none_leaked "$unowned"
ktap_check "no domain-id is lost" same_ids "$ids_before"
ktap_check "no kernel warning" log_is_clean

if [ -n "$far_disk" ]; then
	far_unit=$(unit_of "$far_disk")
	ktap_check "a disk behind $far_unit is unplugged" disk_is_unplugged
	ktap_check "$far_unit has one domain-id less, other units have as many as before" \
		same_ids "$ids_before" "$far_unit" -1
	ktap_check "it is plugged in again, and works" disk_is_plugged
	ktap_check "$far_unit has one domain-id more, other units have as many as before" same_ids "$ids_before"
else
	for what in "is unplugged" "has no domain-id" "is plugged in" "has one again"; do
		ktap_skip "a disk $what" "guest.disk names no disk that can be unplugged"
	done
fi
if [ -n "$pf" ]; then
	pf_unit=$(unit_of "$pf")
	echo 0 > "$PCI/$pf/sriov_drivers_autoprobe"
	ktap_check "virtual functions appear behind $pf_unit, where the physical one is" functions 3
	ktap_check "they have domain-ids of $pf_unit only" same_ids "$ids_before" "$pf_unit" 3
	ktap_check "one of them is given to a user" has_user
	vf=$(basename "$(readlink "$PCI/$pf/virtfn1")")
	user_claims "virtual function" $VF_CLAIMS "$PROGRAMS/vfio_igbvf" iommufd "$vf"
	take_back "$vf"
	ktap_check "they are removed" functions 0
	ktap_check "their domain-ids are free again" same_ids "$ids_before"
else
	for what in "appear" "have domain-ids" "have a user" "are removed" "have none" $(seq $VF_CLAIMS); do
		ktap_skip "virtual functions $what" "there is no igb (8086:10c9)"
	done
fi

owner_unit=$(unit_of "$owner") guest_unit=$(unit_of "$guest")
is_short || is_late "$owner_unit"
is_late "$guest_unit"

for struck in "$owner_unit" "$guest_unit"; do
	spared=$guest_unit
	[ "$struck" = "$owner_unit" ] || spared=$owner_unit
	if ! is_short || [ "$struck" = "$owner_unit" ]; then
		name="$struck stops"
		starts
		fails stops
		detaches
	fi
	# Only once, at the end: after a suspend this machine shows no access control of ports, so
	# the groups of the next load would be larger.
	suspending=0
	if ! is_short && [ "$struck" = "$guest_unit" ]; then suspending=1; fi
	if ! is_short || [ "$struck" = "$guest_unit" ]; then
		name="$struck reports an error"
		starts
		[ $suspending = 0 ] || suspends
		fails reports_error
		[ $suspending = 0 ] || suspends_failed
		detaches
	fi
done
ktap_check "in all of this, no kernel warning" dmesg_is_clean
ktap_end
