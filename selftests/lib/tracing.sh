# SPDX-License-Identifier: GPL-2.0
#
# What the tests of trace events share. Sourced after common.sh; they set EVENTS to the folder of the
# events. A guest mounts tracefs itself.
# shellcheck shell=dash

TRACING=/sys/kernel/tracing
[ -d $TRACING/events ] || mount -t tracefs tracefs $TRACING 2> /dev/null

# listen: enables the events, and clears the buffer.
listen() {
	echo 1 > "$EVENTS/enable" && : > $TRACING/trace && echo 1 > $TRACING/tracing_on
}

# traces PATTERN [TIMES]: in the events since the last listen. A thread reports faults: it waits.
traces() {
	for try in $(seq $((10 * PATIENCE))); do
		times=$(grep -Ec "$1" $TRACING/trace)
		[ "$times" = "${2:-1}" ] && return 0
		sleep 0.1
	done
	echo "$times events, not ${2:-1}, are like: $1; all are:"
	cat $TRACING/trace
	return 1
}
