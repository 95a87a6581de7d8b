#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The kernel tree's own tools/testing/selftests/vfio on an igb: each of their results becomes a
# result of this test. VFIO_SELFTESTS is the folder with the programs. They map pages of 4 KiB,
# 2 MiB and 1 GiB and read in debugfs iommu/intel which page sizes the tables hold.
#
# Boots: vfio-selftests
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/vfio_users.sh"

VFIO_SELFTESTS=${VFIO_SELFTESTS:-$(dirname "$0")/vfio-selftests}
# Seconds. A program that hangs must not prevent the others' results. Each of its tests has
# 300 s (scripts/vtdlab/build/vfio_selftests.py), all together take some minutes.
LIMIT=$((800 * PATIENCE))
total=0

# relay PROGRAM: prints its KTAP, read from standard input, with our numbers and its name.
relay() {
	program=$1
	planned=
	seen=0
	while IFS= read -r line; do
		case $line in
		"1..0 # SKIP"*) planned=1 seen=1
			echo "ok $((total + seen)) - $program # SKIP ${line#1..0 # SKIP }" ;;
		1..*) planned=${line#1..} ;;
		"ok "*) seen=$((seen + 1)); result=ok; name=${line#ok } ;;
		"not ok "*) seen=$((seen + 1)); result="not ok"; name=${line#not ok } ;;
		"TAP version"*) ;;
		"#"*) echo "$line" ;;
		*) echo "# $line" ;;
		esac
		case $line in
		"ok "* | "not ok "*)
			name=${name#* }
			echo "$result $((total + seen)) - $program: ${name#- }" ;;
		esac
	done
	echo $((total + seen)) > /tmp/total
	[ -n "$planned" ] && [ "$seen" = "$planned" ]
}

run_program() {
	mark "vfio-selftests $1 begin"
	{
		timeout $LIMIT "$VFIO_SELFTESTS/$1" "$bdf" 2>&1
		echo $? > /tmp/status
	} | relay "$1"
	whole=$?
	mark "vfio-selftests $1 end"
	total=$(($(cat /tmp/total) + 1))
	status=$(cat /tmp/status)
	case $whole$status in
	00) echo "ok $total - $1: whole"; return ;;
	04) echo "ok $total - $1: whole # SKIP with status 4, as a program ends that skips all"; return ;;
	esac
	echo "not ok $total - $1: whole (status $status)"
}

bdf=$(pci_by_id 0x8086:0x10c9 | head -n1)
[ -n "$bdf" ] || ktap_skip_all "there is no igb (8086:10c9)"
[ -d "$VFIO_SELFTESTS" ] || ktap_skip_all "there is no folder $VFIO_SELFTESTS"
modprobe -q vfio-pci || ktap_skip_all "this kernel has no vfio-pci"
echo "KTAP version 1"
log_start
if [ "$VTD_KO" != none ] && ! vtd_is_loaded; then
	insmod "$VTD_KO" 2> /tmp/need
fi
give_to_user "$bdf" > /tmp/need 2>&1 || { cat /tmp/need; echo "not ok 1 - the igb is given to vfio-pci"; echo "1..1"; exit 1; }
for program in "$VFIO_SELFTESTS"/${VFIO_SELFTEST:-*_test}; do
	if [ "$SHRINK" != 1 ] && [ "${program##*/}" = vfio_pci_driver_test ]; then
		total=$((total + 1))
		echo "ok $total - vfio_pci_driver_test: whole # SKIP each of its tests maps 1 GiB, which takes too long on this kernel"
	else
		run_program "${program##*/}"
	fi
done
total=$((total + 1))
if take_back "$bdf" && [ "$(driver_of "$bdf")" = none ]; then
	echo "ok $total - the igb can be taken back"
else
	echo "not ok $total - the igb can be taken back"
fi
# Their check of page sizes reads this file; without it they would pass unchecked.
total=$((total + 1))
if [ -f "/sys/kernel/debug/iommu/intel/$bdf/domain_translation_struct" ]; then
	echo "ok $total - their check of page sizes had something to look at"
else
	echo "not ok $total - their check of page sizes had something to look at"
fi
total=$((total + 1))
if log_is_clean; then
	echo "ok $total - no kernel warning"
else
	echo "not ok $total - no kernel warning"
fi
echo "1..$total"
