# SPDX-License-Identifier: GPL-2.0
#
# A disk in use while the driver is tested: fio writes blocks at random, past every cache, and
# reads each of them back soon after and checks its checksum. Sourced after lib.sh; the disk is
# overwritten.
# shellcheck shell=dash

FIO=${FIO:-$(command -v fio || echo "$(dirname "$0")/tools/fio")}
FIO_LIBRARIES=$(dirname "$FIO")

fio_is_there() {
	[ -x "$FIO" ]
}

# fio_starts DISK [WORDS]: starts work until fio_ends; several disks can be in use at the same time.
fio_starts() {
	fio_disk=$1
	shift
	rm -f "/tmp/fio-$fio_disk"
	LD_LIBRARY_PATH=$FIO_LIBRARIES "$FIO" --name="$fio_disk" --filename="/dev/$fio_disk" \
		--ioengine=psync --direct=1 --thread --numjobs=2 --group_reporting \
		--rw=randwrite --bsrange=4k-64k --size=4M --offset_increment=4M \
		--verify=crc32c --verify_fatal=1 --verify_backlog=16 \
		--time_based --runtime=$((300 * PATIENCE)) --verify_state_save=0 "$@" > "/tmp/fio-$fio_disk" 2>&1 &
	echo $! > "/tmp/fio-$fio_disk.pid"
	fio_goes_on "$fio_disk"
}

# fio_count DISK: prints the number of completed requests, "READS WRITES".
fio_count() {
	awk '{ print $1, $5 }' "/sys/block/$1/stat"
}

# fio_goes_on DISK: it completes 40 more reads and 40 more writes from now on.
fio_goes_on() {
	# shellcheck disable=SC2046
	set -- "$1" $(fio_count "$1")
	[ $# = 3 ] || { echo "there is no disk $1"; return 1; }
	for try in $(seq $((40 * PATIENCE))); do
		fio_count "$1" | { read -r reads writes
			[ "$reads" -ge $(($2 + 40)) ] && [ "$writes" -ge $(($3 + 40)) ]; } && return 0
		fio_runs "$1" || { echo "fio on $1 is gone:"; cat "/tmp/fio-$1"; return 1; }
		sleep 0.5
	done
	echo "of $1: $2 reads and $3 writes, and then only $(fio_count "$1")"
	return 1
}

fio_runs() {
	kill -0 "$(cat "/tmp/fio-$1.pid")" 2> /dev/null
}

# fio_is_over DISK: fio ends by itself, within 30 s.
fio_is_over() {
	for try in $(seq $((60 * PATIENCE))); do
		fio_runs "$1" || return 0
		sleep 0.5
	done
	echo "fio on $1 does not end; the last that it said:"
	tail -n 5 "/tmp/fio-$1"
	return 1
}

# fio_ends DISK: stops fio; every block that it read was as written.
fio_ends() {
	fio_pid=$(cat "/tmp/fio-$1.pid")
	kill -TERM "$fio_pid" 2> /dev/null
	fio_is_over "$1" || return 1
	wait "$fio_pid"
	fio_saw_no_wrong_byte "$1" && grep -q 'err= 0:' "/tmp/fio-$1" &&
		grep -Eq 'issued rwts: total=[1-9][0-9]+,[1-9][0-9]+,' "/tmp/fio-$1" ||
		{ cat "/tmp/fio-$1"; return 1; }
}

# fio_failed DISK: fio ended by itself because of errors of the disk, and not because a block that
# it read was not as written.
fio_failed() {
	fio_is_over "$1" || return 1
	wait "$(cat "/tmp/fio-$1.pid")"
	fio_saw_no_wrong_byte "$1" && grep -Eq 'err= *[1-9]' "/tmp/fio-$1" ||
		{ cat "/tmp/fio-$1"; return 1; }
}

fio_saw_no_wrong_byte() {
	! grep -Ei '^(verify|crc32c): ' "/tmp/fio-$1"
}
