#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The hardware's invalidation queue reports errors, or stops: the host makes QEMU's unit do so,
# without test hooks of the driver. Waits that hardware discarded with ITE or ICE are repeated, and
# no caller gets an error. After an invalid descriptor (IQE), or if the unit reads no further
# descriptor, the unit fails: its devices are blocked, those of the other unit continue, and the
# driver detaches. In the short form one unit reports each kind of error once.
#
# Boots: server, failing-queues
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/fio.sh"

# The driver reports the first, second, fourth and eighth such error.
MANY=8

command -v host > /dev/null || ktap_skip_all "no host is there to cause errors"
fio_is_there || ktap_skip_all "there is no fio"
[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver reports errors otherwise"

nvmes() {
	for bdf in ${VTD_DISKS:-}; do
		[ "$(cat "$PCI/$bdf/class")" != 0x010802 ] || echo "$bdf"
	done
}

# fresh: the driver is loaded again, devices behind both units are attacked with, and a disk of the
# spared unit is in use. No other disk has a driver, which would report for minutes that it is
# blocked.
fresh() {
	need_no_vtd && insmod "$VTD_KO" && insmod "$VTD_TEST_MODULES/vtd_devices.ko" &&
		insmod "$VTD_TEST_MODULES/vtd_attack.ko" && modprobe nvme || return 1
	base=$(unit_base "$struck")
	edu=$(pci_by_id 0x1234:0x11e8 | behind_unit "$struck" | head -n1)
	disk_bdf=$(nvmes | behind_unit "$spared")
	for bdf in $(nvmes); do
		[ "$bdf" = "$disk_bdf" ] || [ "$(driver_of "$bdf")" = none ] ||
			echo "$bdf" > "$PCI/$bdf/driver/unbind"
	done
	disk=$(block_device "$disk_bdf") && fio_starts "$disk"
}

# answers UNIT: a device behind it reaches memory that is mapped for it, and no longer when it is
# unmapped.
answers() {
	for bdf in $(attackers | behind_unit "$1"); do
		attack "$bdf" allowed-write && [ "$(attack_word landed)" = 1 ] &&
			attack "$bdf" unmapped && [ "$(attack_word warm)" = 1 ] &&
			[ "$(attack_word landed)" = 0 ] || { echo "$attacked"; return 1; }
	done
}

# is_blocked BDF: it reaches nothing, as its unit failed. With caching mode nothing can be mapped
# for it either.
is_blocked() {
	if attack "$1" allowed-write > /tmp/attacked 2>&1; then
		[ "$(attack_word landed)" = 0 ] || { echo "$attacked"; return 1; }
	else
		grep "cannot do" /tmp/attacked || { cat /tmp/attacked; return 1; }
		attack "$1" never-mapped || return 1
	fi
	log_has "$struck: fault: device $1 .*reason 0x01\), its unit failed earlier"
}

all_are_blocked() {
	for bdf in $(attackers | behind_unit "$struck"); do is_blocked "$bdf" || return 1; done
}

none_failed() {
	! log_since | grep 'blocked from now on'
}

# --- errors after which the queue continues ---

# recovers ERROR COUNT WORDS: three results. It is the COUNTth since the load.
recovers() {
	mark "queue-error $1 of $struck begin"
	log_start
	ktap_check "$struck, $1: what is mapped and unmapped takes effect" \
		eval 'host queue-error "$base" '"$1"' && answers "$struck"'
	mark "queue-error $1 of $struck end"
	ktap_check "$struck, $1: the log says that the waits were repeated" \
		log_has "vtd: $struck: $3; the waits .* were resubmitted \($2 such error"
	ktap_check "$struck, $1: no unit fails" none_failed
}

# busy BDF: maps and unmaps until there are enough errors.
busy() {
	while [ ! -e /tmp/enough ]; do
		attack "$1" unmapped && [ "$(attack_word landed)" = 0 ] || { echo "$attacked"; return 1; }
		echo "$1" >> /tmp/rounds
	done
}

# busy_again COUNT: of COUNT devices, at least one has mapped and unmapped since.
busy_again() {
	rounds=$(wc -l < /tmp/rounds)
	for try in $(seq $((200 * PATIENCE))); do
		[ "$(wc -l < /tmp/rounds)" -le $((rounds + $1)) ] || return 0
		sleep 0.1
	done
	echo "no device maps and unmaps any more"
	return 1
}

# recovers_often: all devices of the unit are used at the same time while the errors continue.
recovers_often() {
	rm -f /tmp/enough
	: > /tmp/rounds
	jobs=
	for bdf in $(attackers | behind_unit "$struck"); do
		busy "$bdf" &
		jobs="$jobs $!"
	done
	for error in wait-ite wait-ice wait-ite wait-ite wait-ice wait-ite; do
		# shellcheck disable=SC2086 # processes are words
		host queue-error "$base" $error && busy_again "$(echo $jobs | wc -w)"
	done
	touch /tmp/enough
	for job in $jobs; do
		wait "$job" || return 1
	done
}

often_is_logged_seldom() {
	log_has "were resubmitted \($MANY such error" &&
		[ "$(log_since | grep -c 'I[TC]E); the waits .* were resubmitted')" = 2 ] || { log_since; return 1; }
}

# under_load: three results.
under_load() {
	log_start
	ktap_check "$struck: further errors under load: what is mapped and unmapped takes effect" recovers_often
	ktap_check "$struck: further errors under load: the log has the fourth and the eighth" often_is_logged_seldom
	ktap_check "$struck: further errors under load: no unit fails" none_failed
}

# --- errors after which the unit fails ---

# fails NAME WORDS COMMAND...: the command makes the unit fail; eight results.
fails() {
	name=$1 words=$2
	shift 2
	ktap_check "$struck $name: vtd is loaded, and a disk of $spared is in use" \
		eval 'fresh && answers "$struck" && answers "$spared"'
	mark "unit-failure $struck $name begin"
	log_start
	"$@" > /tmp/answer || cat /tmp/answer
	attack "$edu" allowed-write > /dev/null
	ktap_check "$struck $name: the log says so once, with the reason" is_logged_once
	ktap_check "$struck $name: its devices reach nothing, and each fault says why" all_are_blocked
	ktap_check "$struck $name: the disk of $spared continues" fio_goes_on "$disk"
	mark "unit-failure $struck $name end"
	ktap_check "$struck $name: devices of $spared continue" answers "$spared"
	ktap_check "$struck $name: no byte of the disk was lost" fio_ends "$disk"
	ktap_check "$struck $name: no kernel warning" log_is_clean
	ktap_check "$struck $name: the driver detaches" need_no_vtd
	host queue "$base" runs
}

is_logged_once() {
	log_has "vtd: $struck: its invalidation queue $words; every device behind it is blocked from now on" ||
		return 1
	[ "$(log_since | grep -c 'blocked from now on')" = 1 ] || { log_since; return 1; }
}

need_vtd > /tmp/need 2>&1 || { ktap_start 1; ktap_abort "the module does not load: $(cat /tmp/need)"; }
units=
for unit in $(all_units); do
	[ -z "$(nvmes | behind_unit "$unit")" ] || [ -z "$(pci_by_id 0x1234:0x11e8 | behind_unit "$unit")" ] ||
		units="$units $unit"
done
# shellcheck disable=SC2086 # units are words
set -- $units
[ $# = 2 ] || ktap_skip_all "a disk and edu are behind $# units, not two"
first=$1 second=$2
if is_short; then
	set -- "$first"
	ktap_start $((1 + 2 * 3 + 2 + 8))
else
	ktap_start $((2 * (1 + 2 * 3 + 2 + 3 + 2 * 8)))
fi
for struck in "$@"; do
	spared=$second
	[ "$struck" = "$first" ] || spared=$first
	ktap_check "$struck: vtd is loaded, and a disk of $spared is in use" fresh
	recovers wait-ite 1 'a device did not answer an invalidation \(ITE\)'
	recovers wait-ice 2 'wrong invalidation completion \(ICE\)'
	is_short || under_load
	ktap_check "$struck: all of this: the disk of $spared continues" fio_goes_on "$disk"
	ktap_check "$struck: all of this: no byte of the disk was lost" fio_ends "$disk"
	fails "has an invalid descriptor" \
		'stopped at descriptor [0-9]+ \(0x[0-9a-f]+\): invalid descriptor in the queue \(IQE\)' \
		host queue-error "$base" iqe
	is_short || fails "stops" 'is stuck at descriptor [0-9]+' host queue "$base" held
done
ktap_end
