# SPDX-License-Identifier: GPL-2.0
#
# What tests with users of VFIO share. Sourced after ktap.sh and common.sh.
# shellcheck shell=dash

CLAIM=${VFIO_CLAIM:-$PROGRAMS/vfio_claim}

# How many claims vfio_nvme and vfio_edu make.
NVME_CLAIMS=13
EDU_CLAIMS=7

# first_nvme: prints the first NVMe disk that may be overwritten.
first_nvme() {
	for listed in ${VTD_DISKS:-}; do
		[ "$(cat "$PCI/$listed/class")" = 0x010802 ] && { echo "$listed"; return; }
	done
}

# consent: prints whether users need consent to interrupts that are not remapped. With noapic vtd
# isolates all devices.
consent() {
	if [ "$VTD_KO" != none ] && grep -qw noapic /proc/cmdline; then echo 0; else echo 1; fi
}

# give_to_user BDF [CONSENT]: binds the device to vfio-pci, with that consent (1) or without (0).
give_to_user() {
	modprobe -q vfio-pci && modprobe -q vfio_iommu_type1 || return 1
	given_consent=${2-$(consent)}
	echo "$given_consent" > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
	echo "$given_consent" > /sys/module/iommufd/parameters/allow_unsafe_interrupts
	[ "$(driver_of "$1")" = none ] || echo "$1" > "$PCI/$1/driver/unbind"
	echo vfio-pci > "$PCI/$1/driver_override"
	echo "$1" > /sys/bus/pci/drivers_probe
	[ "$(driver_of "$1")" = vfio-pci ]
}

# take_back BDF: it has no driver afterwards.
take_back() {
	echo "$1" > "$PCI/$1/driver/unbind"
	echo > "$PCI/$1/driver_override"
}

# is_taken BDF: a user can take the device, through either interface.
is_taken() {
	for mode in type1 iommufd; do
		"$CLAIM" $mode "$1" < /dev/null > /tmp/claimed 2>&1 || { echo "$mode:"; cat /tmp/claimed; return 1; }
	done
}

# needs_consent BDF: neither interface gives the device to a user, for lack of permission.
needs_consent() {
	for mode in type1 iommufd; do
		! "$CLAIM" $mode "$1" < /dev/null > /tmp/claimed 2>&1 || { echo "$mode gave it to a user"; return 1; }
		grep -q '^refused 1 ' /tmp/claimed || { cat /tmp/claimed; return 1; }
	done
}

# user_claims NAME COUNT PROGRAM...: prints each claim of a program as a result, and a failure for
# each missing claim.
user_claims() {
	claims_of=$1
	claims_left=$2
	shift 2
	mark "user $claims_of begin"
	timeout "${CLAIMS_TIMEOUT:-$((120 * PATIENCE))}" "$@" > /tmp/claims 2>&1
	claims_status=$?
	mark "user $claims_of end"
	while read -r verdict what; do
		case $verdict in
		ok) ktap_pass "$claims_of: $what" ;;
		fail) ktap_fail "$claims_of: $what" ;;
		*) echo "$verdict $what" | ktap_note; continue ;;
		esac
		claims_left=$((claims_left - 1))
	done < /tmp/claims
	while [ $claims_left -gt 0 ]; do
		ktap_fail "$claims_of: a claim that was not made" "the program ended with status $claims_status"
		claims_left=$((claims_left - 1))
	done
}

# hold MODE BDF: a user has the device until release_user.
hold() {
	mkfifo /tmp/held
	"$CLAIM" "$1" "$2" < /tmp/held > /tmp/holder 2>&1 &
	holder=$!
	exec 7> /tmp/held
	for try in $(seq $((10 * PATIENCE))); do
		grep -q taken /tmp/holder && return 0
		sleep 0.2
	done
	cat /tmp/holder
	return 1
}

release_user() {
	exec 7>&-
	wait "$holder"
	rm -f /tmp/held
}

# begins PROGRAM...: starts a user's program, which waits for its steps.
begins() {
	rm -f /tmp/steps /tmp/claims
	mkfifo /tmp/steps
	"$@" < /tmp/steps > /tmp/claims 2>&1 &
	user=$!
	exec 7> /tmp/steps
}

# step CLAIMS [NAME]: lets the program continue until it has made that many claims, each of which
# becomes a result, and so does each missing one.
step() {
	step_after=$(wc -l < /tmp/claims)
	# The program may have ended.
	(trap '' PIPE; echo go >&7) 2> /dev/null
	for try in $(seq $((600 * PATIENCE))); do
		tail -n +$((step_after + 1)) /tmp/claims > /tmp/now
		step_missing=$(($1 - $(grep -c '^ok \|^fail ' /tmp/now)))
		[ $step_missing -gt 0 ] && [ -d "/proc/$user" ] || break
		sleep 0.1
	done
	while read -r verdict what; do
		case $verdict in
		ok) ktap_pass "${2:+$2: }$what" ;;
		fail) ktap_fail "${2:+$2: }$what" ;;
		*) echo "$verdict $what" | ktap_note ;;
		esac
	done < /tmp/now
	while [ $step_missing -gt 0 ]; do
		ktap_fail "${2:+$2: }a claim that was not made"
		step_missing=$((step_missing - 1))
	done
}

ends() {
	exec 7>&-
	wait "$user"
}
