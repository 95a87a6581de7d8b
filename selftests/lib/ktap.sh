# SPDX-License-Identifier: GPL-2.0
#
# KTAP for shell tests. A test calls ktap_start, then one of the other functions for each result,
# then ktap_end, which exits with kselftest's status. A test that exits before ktap_end has printed
# fewer results than planned, which readers count as a failure.
# shellcheck shell=dash

# A test takes no argument: a user who tries --help must not get modules loaded and disks
# overwritten.
case $#-${1-} in
0-) ;;
1--h | 1---help)
	echo "usage: selftests/${0##*/}"
	echo
	sed -n '4,/^[^#]/s/^#$//p; 4,/^[^#]/s/^# //p' "$0"
	exit 0
	;;
*)
	echo "${0##*/}: it takes no argument, and '$*' was given" >&2
	exit 2
	;;
esac

ktap_count=0
ktap_failed=0
ktap_passed=0

# ktap_start PLAN: prints how many results will follow.
ktap_start() {
	ktap_planned=$1
	echo "KTAP version 1"
	echo "1..$ktap_planned"
}

ktap_result() {
	ktap_count=$((ktap_count + 1))
	echo "$1 $ktap_count - $2"
}

ktap_pass() {
	ktap_passed=$((ktap_passed + 1))
	ktap_result ok "$1"
}

# ktap_fail WHAT [WHY]
ktap_fail() {
	ktap_failed=$((ktap_failed + 1))
	[ -z "${2-}" ] || echo "$2" | ktap_note
	ktap_result "not ok" "$1"
}

ktap_skip() {
	ktap_result ok "$1 # SKIP $2"
}

# ktap_note: prints its input as diagnostics.
ktap_note() {
	sed 's/^/# /'
}

# ktap_check WHAT COMMAND: passes if the command succeeds; the command prints why it failed. It
# runs in this shell, so that it may set variables.
ktap_check() {
	ktap_what=$1
	shift
	if "$@" > "$ktap_output" 2>&1; then
		ktap_pass "$ktap_what"
	else
		ktap_fail "$ktap_what" "$(cat "$ktap_output"; echo "failed: $*")"
	fi
}
ktap_output=$(mktemp)
trap 'rm -f "$ktap_output"' EXIT

# ktap_skip_all WHY: this test cannot run here.
ktap_skip_all() {
	echo "KTAP version 1"
	echo "1..0 # SKIP $1"
	exit 4
}

# ktap_abort WHY: fails all remaining results of the plan, because they cannot be checked.
ktap_abort() {
	echo "$1" | ktap_note
	while [ "$ktap_count" -lt "$ktap_planned" ]; do
		ktap_fail "not tried: $1"
	done
	ktap_end
}

# ktap_skip_rest WHY: skips the remaining results, because they do not apply to this machine.
ktap_skip_rest() {
	while [ "$ktap_count" -lt "$ktap_planned" ]; do
		ktap_skip "not tried" "$1"
	done
	ktap_end
}

ktap_end() {
	echo "# Totals: pass:$ktap_passed fail:$ktap_failed skip:$((ktap_count - ktap_passed - ktap_failed))"
	[ "$ktap_count" -eq "$ktap_planned" ] ||
		{ echo "# planned $ktap_planned results, gave $ktap_count"; exit 1; }
	[ "$ktap_failed" -eq 0 ] || exit 1
	exit 0
}
