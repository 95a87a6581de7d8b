# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What scripts/enter, scripts/build-root and scripts/distclean share. Sourced by bash;
# vtdlab/cache.py agrees with it about the cache folder.

checkout=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${VTD_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set; set VTD_CACHE to a folder}/.cache}/vtd}
case $cache in
/*) ;;
*) cache=$PWD/$cache ;;
esac

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# arguments USAGE LEAST MOST ARGUMENT...: if help is requested, prints USAGE and the comment at the
# script's top and exits; exits with status 2 if the arguments do not fit USAGE. To be called before
# anything is done.
arguments() {
	local usage="usage: scripts/$1" least=$2 most=$3
	shift 3
	case ${1-} in
	-h | --help)
		printf '%s\n\n' "$usage"
		sed -n '4,/^[^#]/s/^#$//p; 4,/^[^#]/s/^# //p' "$0"
		exit 0
		;;
	-*) refuse "$1 is no option of this script; $usage" ;;
	esac
	[ $# -ge "$least" ] || refuse "an argument is missing; $usage"
	[ $# -le "$most" ] || refuse "more arguments are given than there are ($*); $usage"
}

refuse() {
	echo "${0##*/}: $*" >&2
	exit 2
}

say() {
	printf '  %-9s %s\n' "$1" "$2"
}

# open_cache: creates the cache folder with the mark by which distclean recognizes it. A folder with
# other files in it is never used.
open_cache() {
	if [ -d "$cache" ] && [ ! -e "$cache/.vtd-cache" ] &&
		[ -n "$(ls -A "$cache")" ]; then
		die "the cache folder $cache holds files that are not vtd's; set VTD_CACHE to an empty or new folder"
	fi
	if ! mkdir -p "$cache/lock" "$cache/root" "$cache/home" 2>/dev/null ||
		! touch "$cache/.vtd-cache" 2>/dev/null; then
		die "the cache folder $cache cannot be written; set VTD_CACHE to a folder that can"
	fi
	cache=$(cd -P "$cache" && pwd)
}

elapsed() {
	local s=$((SECONDS - $1))
	if [ $s -lt 60 ]; then
		echo "$s s"
	else
		printf '%d min %02d s' $((s / 60)) $((s % 60))
	fi
}

# show KIND TEXT TAIL: prints one line of the terminal, over the previous one; if the terminal is
# too narrow, TEXT is cut, because TAIL has what changes.
show() {
	local width line
	width=$(stty size <&1 2>/dev/null | cut -d' ' -f2)
	[ "${width:-0}" -gt 0 ] || width=80
	line=$(printf '  %-9s %s' "$1" "$2")
	[ $((${#line} + ${#3})) -lt "$width" ] || line=${line:0:$((width > ${#3} + 2 ? width - ${#3} - 2 : 0))}~
	printf '\r\033[K%s' "${line}$3"
}

# step KIND TEXT LOG COMMAND...: runs a long command with its output in LOG. On a terminal one line
# counts the seconds; in a log there is a line at the start, every half minute and at the end. If
# the command fails, prints the end of LOG and exits.
step() {
	local kind=$1 text=$2 log=$3 start=$SECONDS next=30 tty='' code=0 child
	shift 3
	[ -t 1 ] && tty=y
	[ "$tty" ] || say "$kind" "$text ..."
	set -m # a separate process group, so that an interruption ends all of it
	"$@" >"$log" 2>&1 </dev/null &
	child=$!
	set +m
	trap 'kill -TERM -- -$child 2>/dev/null; wait $child || :; die "$text was interrupted"' INT TERM HUP
	while kill -0 $child 2>/dev/null; do
		if [ "$tty" ]; then
			show "$kind" "$text" " ... $(elapsed "$start")"
		elif [ $((SECONDS - start)) -ge $next ]; then
			say "$kind" "$text ... $(elapsed "$start")"
			next=$((next + 30))
		fi
		sleep 0.5
	done
	wait $child || code=$?
	trap - INT TERM HUP
	[ "$tty" ] && printf '\r\033[K'
	if [ $code -ne 0 ]; then
		say "$kind" "$text: failed with status $code after $(elapsed "$start")"
		tail -n 20 "$log" | sed 's/^/    /' >&2
		die "$text failed; the whole log is $log"
	fi
	say "$kind" "$text: done, $(elapsed "$start")"
}
