# SPDX-License-Identifier: GPL-2.0
#
# What the tests about chipsets share: functions disguised as others.
# shellcheck shell=dash disable=SC3045

HOST_BRIDGE=0000:00:00.0

# disguised FUNCTION/VENDOR:DEVICE/CLASS...: disguises functions as these, until undisguised.
disguised() {
	insmod "$VTD_TEST_MODULES/vtd_disguise.ko" as="$(echo "$*" | tr ' ' ',')"
}

undisguised() {
	rmmod vtd_disguise
}

# while_disguised "FUNCTION/VENDOR:DEVICE/CLASS..." COMMAND...: runs it with these disguises.
while_disguised() {
	disguised "$1" || return 1
	shift
	"$@"
	while_result=$?
	undisguised && return $while_result
}

leaves() {
	echo 1 > /sys/kernel/vtd/detach && rmmod vtd
}

# is_refused PATTERN [PARAMETER...]: the load is refused with this log line and leaves nothing.
is_refused() {
	pattern=$1
	shift
	log_start
	! insmod "$VTD_KO" "$@" 2> /dev/null || { rmmod vtd; echo "it was loaded"; return 1; }
	! grep ' : vtd' /proc/iomem && log_has "$pattern" && log_is_clean
}

# is_listed_behind_none BDF: the log and the list of users say so, and it is in no group.
is_listed_behind_none() {
	log_has "vtd: $1: behind no unit" || return 1
	grep -q "^$1 -1 .* no-unit$" /sys/kernel/vtd/users || { cat /sys/kernel/vtd/users; return 1; }
	[ ! -e "$PCI/$1/iommu_group" ] || { echo "$1 is in a group"; return 1; }
}

# is_served BDF: it is translated; nothing is mapped for it.
is_served() {
	is_now "$1" DMA && refused "$1" "$FREE"
}

# is_no_users BDF: the core cannot give it to a user.
is_no_users() {
	load_owner && refuses "No such device" claim "$1" a
	no_user=$?
	rmmod vtd_owner
	return $no_user
}
