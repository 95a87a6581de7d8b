# SPDX-License-Identifier: GPL-2.0
#
# What the jobs with two kernels and no reset between them share: one test in KTAP that begins in
# the first kernel and ends in the second (guest.stage=2), which gets the first one's command line.
# shellcheck shell=dash
. /guest/lib.sh
export VTD_DISKS="$NVME $VIRTIO" VTD_NIC=$NIC
[ "$(cmdline guest.driver vtd)" = vtd ] || export VTD_KO=none
. /selftests/lib/ktap.sh > /dev/null
. /selftests/lib/common.sh

# begin NAME COUNT: begins a test with COUNT results, in both kernels together.
begin() {
	test_name=$1
	test_count=$2
	[ "$(cmdline guest.stage)" != 2 ] || return 0
	say "> KTAP version 1"
	say "> 1..1"
	say "> # Subtest: $1"
	say ">   1..$2"
}

# check WHAT COMMAND: ktap_check over the channel.
check() {
	ktap_check "$@" > /run/checked
	while IFS= read -r line; do say ">   $line"; done < /run/checked
}

fetch() {
	net_device "$NIC" > /dev/null || return 1
	printf 'FILE %s\n' "$1" | timeout $((120 * ${PATIENCE:-1})) nc 10.0.2.2 "$(cmdline guest.port)" > "/tmp/$1"
	[ -s "/tmp/$1" ] || { echo "the host did not serve $1"; return 1; }
}

finish() {
	if [ "$ktap_failed" = 0 ] && [ "$ktap_count" = "$test_count" ]; then
		say "> ok 1 - $test_name"
	else
		say "> not ok 1 - $test_name"
	fi
}
