# SPDX-License-Identifier: GPL-2.0
#
# What the tests share: paths, loading and unloading the driver, the kernel log, work for devices.
# No disk is named here: VTD_DISKS names them, because they are overwritten.
# shellcheck shell=dash disable=SC3045

PCI=/sys/bus/pci/devices
# first_there PATH...: prints the first of them that exists.
first_there() {
	for candidate in "$@"; do
		[ ! -e "$candidate" ] || { echo "$candidate"; return; }
	done
}

here=$(cd "$(dirname "$0")" && pwd)
VTD_KO=${VTD_KO:-$(first_there /vtd/vtd.ko "$here/../vtd.ko" "$(modinfo -n vtd 2>/dev/null)")}
VTD_TEST_MODULES=${VTD_TEST_MODULES:-$(dirname "$(first_there "$here/modules/vtd_devices.ko" /vtd/modules/vtd_devices.ko)")}
# The programs for users are in user/; kselftest installs them next to the tests.
PROGRAMS=$(dirname "$(first_there "$here/user/raw_dma" "$here/raw_dma")")
VTD_ARGS=${VTD_ARGS-$(sed -n 's/.*\bguest\.vtd=\([^ ]*\).*/\1/p' /proc/cmdline)}
DRIVERS="nvme e1000e igb virtio_blk virtio_pci"
UNBOUND=/run/vtd-unbound

# In the guests of `make check`, guest/lib.sh defines these. Under kselftest's own runner file
# descriptor 3 belongs to the runner.
if [ -r /guest/lib.sh ] && [ -z "${kselftest_timeout-}" ]; then
	. /guest/lib.sh
else
	mark() { :; }
	say() { :; }
	cmdline() { sed -n "s/.*\b$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
fi

# A kernel with debugging is slower: waits are longer by the first factor, and the data smaller by
# the second.
PATIENCE=$(cmdline guest.patience)
SHRINK=$(cmdline guest.shrink)
PATIENCE=${PATIENCE:-1} SHRINK=${SHRINK:-1}
# The user programs read it, too.
export PATIENCE

# is_short: a test runs its short form; the boot of another target runs all of it.
is_short() {
	[ "$(cmdline guest.short)" = 1 ] && [ "$(cmdline guest.long)" != 1 ]
}

driver_of() {
	if [ -e "$PCI/$1/driver" ]; then basename "$(readlink "$PCI/$1/driver")"; else echo none; fi
}

group_type() {
	cat "$PCI/$1/iommu_group/type" 2>/dev/null || echo none
}

# pci_by_id VENDOR:DEVICE: prints the functions with this id.
pci_by_id() {
	for pci_dev in "$PCI"/*; do
		[ "$(cat "$pci_dev/vendor"):$(cat "$pci_dev/device")" = "$1" ] && echo "${pci_dev##*/}"
	done
}

attackers() {
	pci_by_id 0x1234:0x11e8
	pci_by_id 0x1b36:0x0005
	pci_by_id 0x1b36:0x00f0
}

# --- requirements on the machine ---

# machine_lacks: prints why no test can run here; prints nothing if they can.
machine_lacks() {
	if [ "$(id -u)" -ne 0 ]; then
		echo "the tests load modules, which takes root"
	elif [ ! -e /sys/firmware/acpi/tables/DMAR ]; then
		echo "the firmware describes no remapping hardware: there is no ACPI table DMAR"
	elif [ ! -e "$VTD_TEST_MODULES/vtd_devices.ko" ]; then
		echo "the test modules are not built: run make in selftests/modules, or name their folder in VTD_TEST_MODULES"
	elif [ -z "$VTD_KO" ]; then
		echo "there is no vtd.ko: build it, or name it in VTD_KO"
	elif [ "$VTD_KO" != none ] && [ "${0##*/}" != refusal.sh ] && ! vtd_is_loaded &&
		[ -n "$(all_units)" ]; then
		echo "the kernel's own driver holds the units: boot with intel_iommu=off intremap=off"
	fi
}

# --- the kernel log ---

# log_start: log_since prints only the lines after this call.
log_start() {
	log_starts=$((${log_starts:-0} + 1))
	log_token="selftest: process $$ looks at the log for the ${log_starts}th time"
	echo "$log_token" > /dev/kmsg
}

# A log that was overwritten from its beginning proves nothing: a line says so that counts as a
# complaint.
log_since() {
	dmesg | awk -v token="$log_token" '
		since
		index($0, token) { since = 1 }
		END { if (!since) print "BUG: the kernel log is too short (log_buf_len=), or log_start was not called" }'
}

# log_has PATTERN: an extended regular expression, case ignored. It waits for what another thread
# may still print.
log_has() {
	for log_try in $(seq $((100 * PATIENCE))); do
		log_since | grep -Eiq "$1" && return 0
		sleep 0.1
	done
	echo "the kernel log has no line like: $1; it has:"
	log_since
	return 1
}

# log_is_about BDF PATTERN: there are lines like this since log_start, and the record of each has the
# device in its fields, by which journalctl finds them.
log_is_about() {
	log_has "$2" || return 1
	# Reading the records never ends, and sed reads one line more than it prints.
	for log_end in 1 2; do echo "$log_token, and now at its records" > /dev/kmsg; done
	sed "/$log_token, and/q" /dev/kmsg | log_device="+pci:$1" log_pattern=$2 awk -v token="$log_token" '
		/^[^ ]/ { like = since && $0 ~ ENVIRON["log_pattern"]; lines += like }
		index($0, token) { since = 1 }
		like && $0 == " SUBSYSTEM=pci" { fields++ }
		like && $0 == " DEVICE=" ENVIRON["log_device"] { fields++ }
		END { print lines + 0 " line(s) like this, with " fields + 0 " of 2 fields each"
			exit !(lines && fields == 2 * lines) }'
}

COMPLAINTS='WARNING:|BUG:|Oops|Call Trace:|possible .* locking|DMA-API: .*: |panicked at'

# The host judges data races: it can distinguish the driver's from others'.
complaints() {
	grep -E "$COMPLAINTS" | grep -v 'BUG: KCSAN'
}

# settled COMMAND...: prints the command's output once that has stayed the same for half a second;
# fails if it never does.
settled() {
	settled_last=$("$@") || return 1
	for try in $(seq $((20 * PATIENCE))); do
		sleep 0.5
		settled_now=$("$@") || return 1
		[ "$settled_now" != "$settled_last" ] || { echo "$settled_now"; return 0; }
		settled_last=$settled_now
	done
	echo "this never printed the same for half a second: $*" >&2
	return 1
}

log_is_clean() {
	! log_since | complaints
}

# dmesg_is_clean: checks the whole log, not only what follows log_start.
dmesg_is_clean() {
	! dmesg | complaints
}

# --- loading and unloading the driver ---

vtd_is_loaded() {
	grep -q '^vtd ' /proc/modules
}

# load_drivers: loads each driver of the test devices that exists.
load_drivers() {
	for driver in nvme e1000e igb virtio_pci virtio_blk; do
		modprobe -q "$driver"
	done
	for driver in vtd_devices vtd_attack; do
		grep -q "^$driver " /proc/modules || insmod "$VTD_TEST_MODULES/$driver.ko" || return 1
	done
	for bound_bdf in $(cat $UNBOUND 2> /dev/null); do
		[ ! -e "$PCI/$bound_bdf" ] || echo "$bound_bdf" > /sys/bus/pci/drivers_probe || return 1
	done
	rm -f $UNBOUND
}

# unload_drivers: no test device is in use afterwards. A driver that is built into the kernel, as
# Debian's for virtio are, is unbound from its devices instead; load_drivers binds it again.
unload_drivers() {
	for driver in vtd_domain vtd_attack vtd_devices $DRIVERS; do
		if grep -q "^$driver " /proc/modules; then
			rmmod "$driver" || return 1
		fi
	done
	for bound_dev in "$PCI"/*; do
		bound_bdf=${bound_dev##*/}
		case " $DRIVERS " in
		*" $(driver_of "$bound_bdf" | tr - _) "*)
			echo "$bound_bdf" >> $UNBOUND && echo "$bound_bdf" > "$PCI/$bound_bdf/driver/unbind" || return 1 ;;
		esac
	done
}

# load_vtd [PARAMETER...]: loads it with only these.
load_vtd() {
	insmod "$VTD_KO" "$@" || { dmesg | tail -n 20; return 1; }
}

# need_vtd: it is loaded, and every device has a driver. With VTD_KO=none the kernel's own driver
# is tested; tests that look for log lines of vtd then fail.
need_vtd() {
	if [ "$VTD_KO" != none ] && ! vtd_is_loaded; then
		unload_drivers || return 1
		# shellcheck disable=SC2086 # parameters are words
		load_vtd $VTD_ARGS || return 1
	fi
	load_drivers
}

# need_no_vtd: neither vtd nor a driver of a device is loaded.
need_no_vtd() {
	unload_drivers || return 1
	vtd_is_loaded || return 0
	echo 1 > /sys/kernel/vtd/detach || return 1
	rmmod vtd
}

# load_state: prints what a load changes.
load_state() {
	cat /proc/iomem
	ls /sys/class/iommu /sys/kernel/iommu_groups 2> /dev/null
	ls -d /sys/kernel/vtd /sys/kernel/debug/vtd /sys/kernel/debug/iommu/intel 2> /dev/null
	sed 's/^ *\([^ :]*\):.* \([^ ]*\)$/\1 \2/' /proc/interrupts | grep -i -e dmar -e vtd
	grep '^vtd ' /proc/modules
}

# --- units ---

UNITS=/sys/class/iommu

# all_units: prints the names of the units that serve devices, one a line.
all_units() {
	for unit_found in "$UNITS"/*; do
		[ ! -d "$unit_found/intel-iommu" ] || echo "${unit_found##*/}"
	done
}

# unit_of BDF: prints the name of the unit that the device is behind.
unit_of() {
	basename "$(readlink "$PCI/$1/iommu")"
}

# stage_of BDF: prints first if the tables of its domains are of a first stage, or else second. A
# unit in scalable mode (ECAP, bit 43) has a first stage (47) only if it has no second (46).
stage_of() {
	stage_ecap=$(cat "$PCI/$1/iommu/intel-iommu/ecap" 2> /dev/null)
	case $VTD_KO/$VTD_ARGS/$(cat /proc/cmdline) in
	none/*/*sm_on*) ;;
	none/* | */*scalable=0*/*) stage_ecap=0 ;;
	esac
	if [ $((0x${stage_ecap:-0} >> 43 & 0x19)) = $((0x11)) ]; then echo first; else echo second; fi
}

# reason_of BDF ACCESS [present]: prints the code with which a read or write is refused of a page that
# is not mapped or, present, is not mapped for this.
reason_of() {
	case $(stage_of "$1")/$2/${3-} in
	first/*/present) echo 85 ;;
	first/*) echo 71 ;;
	*/write/*) echo 05 ;;
	*) echo 06 ;;
	esac
}

# firmware_units: prints the addresses of the registers of firmware's units, in the table's order.
firmware_units() {
	# A header of 48 bytes; then structures: type u16, length u16. A unit (DRHD) has type 0 and its
	# registers' address at offset 8.
	od -An -v -tu1 -w1 /sys/firmware/acpi/tables/DMAR | awk '
		{ b[NR - 1] = $1 }
		END {
			for (at = 48; at + 4 <= NR; at += size) {
				size = b[at + 2] + 256 * b[at + 3]
				if (size < 4) exit
				if (b[at] + 256 * b[at + 1] != 0) continue
				base = ""
				for (i = 15; i >= 8; i--) base = base sprintf("%02x", b[at + i])
				sub(/^0+/, "", base)
				print "0x" base
			}
		}'
}

# unit_at ADDRESS: prints the name of the unit whose registers are there, in use or not. The table's
# order numbers them.
unit_at() {
	unit_line=$(firmware_units | grep -n "^$(printf '0x%x' $(($1)))\$" | head -n1)
	[ -z "$unit_line" ] || echo "dmar$((${unit_line%%:*} - 1))"
}

# served [UNIT]: prints the devices behind this unit, or behind any.
served() {
	for served_link in "$UNITS"/${1:-*}/devices/*; do
		[ ! -e "$served_link" ] || echo "${served_link##*/}"
	done
}

# behind_unit UNIT: of the devices on standard input, prints those that are behind this unit.
behind_unit() {
	while read -r behind_bdf; do
		[ "$(unit_of "$behind_bdf")" != "$1" ] || echo "$behind_bdf"
	done
}

# each_unit COMMAND...: runs it once for each unit, whose name it finds in $unit; fails if the
# command does, or if there is no unit.
each_unit() {
	each_units=$(all_units)
	[ -n "$each_units" ] || { echo "there is no unit"; return 1; }
	for unit in $each_units; do
		"$@" || { echo "of $unit"; return 1; }
	done
}

# unit_base UNIT: prints the address of its registers.
unit_base() {
	echo "0x$(cat "$UNITS/$1/intel-iommu/address")"
}

# translates_at BASE: the unit whose registers are there translates (GSTS.TES).
translates_at() {
	status_at=$(devmem $(($1 + 0x1c)) 32)
	[ $((status_at >> 31)) = 1 ] || { echo "GSTS of the unit at $1 is $status_at"; return 1; }
}

# domain_ids [UNIT]: prints how many are in use on this unit, or on all units together.
domain_ids() {
	cat "$UNITS"/${1:-*}/intel-iommu/domains_used | awk '{ sum += $1 } END { print sum }'
}

# faults_recorded: prints how many faults all units have recorded so far.
faults_recorded() {
	awk '$1 == "faults:" { sum += $2; units++ } END { if (!units) exit 1; print sum }' \
		/sys/kernel/debug/vtd/dmar*/statistics
}

# records_faults COUNT COMMAND...: the command succeeds, and this many faults are recorded. The
# thread of the fault interrupt counts them: there is time for all, and for one too many.
records_faults() {
	faults_wanted=$1
	shift
	faults_before=$(settled faults_recorded) && "$@" || return 1
	for try in $(seq $((30 * PATIENCE))); do
		sleep 0.1
		faults_since=$(($(faults_recorded) - faults_before))
		[ $faults_since -lt "$faults_wanted" ] || [ "$try" -lt $((3 * PATIENCE)) ] || break
	done
	[ $faults_since -eq "$faults_wanted" ] ||
		{ echo "$faults_since faults were recorded, not $faults_wanted"; return 1; }
}

# is_present BDF WANTED: waits until the function exists and is in a group (1), or is gone (0).
is_present() {
	for try in $(seq $((80 * PATIENCE))); do
		there=0
		[ ! -e "$PCI/$1/iommu_group" ] || there=1
		[ $there = "$2" ] && return 0
		sleep 0.25
	done
	echo "$((20 * PATIENCE)) s later $1 is $([ $there = 1 ] && echo still there || echo not there)"
	return 1
}

# shellcheck source=selftests/lib/work.sh
. "$(first_there "$here/lib/work.sh" /selftests/lib/work.sh)"

# --- attacks ---

# attack BDF SCENARIO: sets attacked to the module's line about it. A first stage cannot permit writes
# without reads.
attack() {
	attacked=
	run=/sys/kernel/debug/vtd_attack/$1/run
	[ -e "$run" ] || { echo "vtd_attack does not drive $1"; return 1; }
	echo "$2" > "$run" || { echo "$1 cannot do $2"; return 1; }
	attacked=$(cat "$run")
	[ "$(stage_of "$1")" = second ] || attacked=$(echo "$attacked stage=first" |
		sed '/scenario=write-only /s/expect=refused/expect=landed/')
}

# attack_word NAME: prints a value from the last attack's line.
attack_word() {
	for word in $attacked; do
		case $word in
		"$1"=*) echo "${word#*=}" ;;
		esac
	done
}

lacking=$(machine_lacks)
[ -z "$lacking" ] || ktap_skip_all "$lacking"
