#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The matrix of attacks: each device tries each kind of access to memory that it must not reach.
# Each attempt is refused and reported once, with its reason. The host compares it with QEMU's
# trace and stores the matrix. edu and iommu-testdev are driven from the kernel and past its
# drivers, NVMe and a virtual function of an igb by a user, with iommufd. What a device cannot try
# is printed with the reason.
#
# Boots: hostile
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/vfio_users.sh"
. "$(dirname "$0")/lib/isolation.sh"

need_memory
VFIO_ATTACK=${VFIO_ATTACK:-$PROGRAMS/vfio_attack}
BEYOND=0x1000000000000
AFTER_WINDOW=0xfef00000
SPOT=$(memory 0x40000)

first_nvme() {
	for listed in ${VTD_DISKS:-}; do
		[ "$(cat "$PCI/$listed/class")" = 0x010802 ] && { echo "$listed"; return; }
	done
}

edu=0000:00:05.0
testdev=0000:00:06.0
nvme=$(first_nvme)
pf=$(pci_by_id 0x8086:0x10c9 | head -n1)
[ -n "$nvme" ] && [ -n "$pf" ] && [ -e "$PCI/$edu" ] && [ -e "$PCI/$testdev" ] ||
	ktap_skip_all "edu, iommu-testdev, an NVMe disk and an igb are not all there"
[ -x "$VFIO_ATTACK" ] || ktap_skip_all "vfio_attack was not built"

# code_of BDF ROW REASON: prints the code, in two digits, that the unit reports for this reason of
# legacy mode and of the second stage.
code_of() {
	case $(stage_of "$1")/$3/$2 in
	first/[56]/read-only) echo 85 ;;
	first/[56]/*) echo 71 ;;
	first/4/*) echo 80 ;;
	*) printf '%02x\n' "$3" ;;
	esac
}

# refused_cell KIND ROW BDF REASON: checks the attempt just made. access, iova, landed and several
# (one attempt makes more than one request) are set.
refused_cell() {
	code=$(code_of "$3" "$2" "$4")
	reported="fault: (device|requester) $3[ ,].* $access of .*reason 0x$code\)"
	log_has "$reported" || refusal="it was not reported"
	say "cell kind=$1 row=$2 device=$3 access=$access iova=$iova reason=0x$code landed=$landed several=$several"
	mark "matrix end"
	[ "$landed" != 1 ] || refusal="it landed"
	if [ -z "$refusal" ]; then
		ktap_pass "$1: $2 is refused and reported"
	else
		ktap_fail "$1: $2 is refused and reported" "$refusal"
	fi
}

begin_cell() {
	access=write several=0 landed=0 refusal=
	mark "matrix $1 $2"
	log_start
}

# by_driver KIND BDF ROW SCENARIO REASON: its driver in the kernel makes the attempt.
by_driver() {
	begin_cell "$1" "$3"
	attack "$2" "$4" > /tmp/why || refusal=$(cat /tmp/why)
	access=$(attack_word access) iova=$(attack_word iova) landed=$(attack_word landed)
	[ "$(attack_word intact)" = 1 ] || landed=1
	[ "$3" != unmapped ] || [ "$(attack_word warm)" = 1 ] || refusal="it was never reached"
	refused_cell "$1" "$3" "$2" "$5"
}

# try HANDLE ADDRESS: makes the device write, without its driver.
try() {
	became=$(dma "$1" "$2" "$SPOT")
	case $became in
	refused) ;;
	landed) landed=1 ;;
	*) refusal=$became ;;
	esac
}

# without_its_driver KIND BDF ROW ADDRESS REASON
without_its_driver() {
	begin_cell "$1" "$3"
	iova=$4
	try "$2" "$4"
	refused_cell "$1" "$3" "$2" "$5"
}

# by_user KIND BDF ROW [OTHER]
by_user() {
	begin_cell "$1" "$3"
	if timeout $((60 * PATIENCE)) "$VFIO_ATTACK" "$1" "$2" "$3" ${4+"$4"} > /tmp/tried 2>&1; then
		attacked=$(cat /tmp/tried)
		access=$(attack_word access) iova=$(attack_word iova) landed=$(attack_word landed)
		reason=$(attack_word reason)
		# A packet, a block and a command are several requests each.
		[ "$access" = write ] && [ "$1" = nvme ] || several=1
		[ "$3" != unmapped ] || [ "$(attack_word warm)" = 1 ] || refusal="it was never reached"
	else
		refusal=$(cat /tmp/tried) iova=0 reason=0
	fi
	refused_cell "$1" "$3" "$2" "$reason"
}

# cannot KIND ROW WHY
cannot() {
	say "cell kind=$1 row=$2 cannot=\"$3\""
}

# reads_too KIND: its unit has only a first stage, which permits reads of what is mapped for writing.
reads_too() {
	cannot "$1" write-only "a first stage permits reads, too"
	ktap_skip "$1: write-only is refused and reported" "a first stage permits reads, too"
}

# must WHAT COMMAND: a step without which the next attempt would prove nothing.
must() {
	what=$1
	shift
	"$@" > /tmp/step 2>&1 || ktap_abort "$what: $(cat /tmp/step)"
}

base_of() {
	cut -d' ' -f1 "$PCI/$1/resource" | head -n1
}

# with_driver KIND BDF
with_driver() {
	by_driver "$1" "$2" never-mapped never-mapped 5
	by_driver "$1" "$2" unmapped unmapped 5
	by_driver "$1" "$2" read-only read-only 5
	case $1/$(stage_of "$2") in
	edu/first) reads_too "$1" ;;
	edu/*) by_driver "$1" "$2" write-only write-only 6 ;;
	*) cannot "$1" write-only "it only writes" ;;
	esac
	without_its_driver "$1" "$2" beyond-aperture $BEYOND 4
	without_its_driver "$1" "$2" interrupt-window $AFTER_WINDOW 5
}

# in_domains KIND BDF OTHER: without drivers, in domains that the test allocates.
in_domains() {
	must "a claim" ask claim "$3" a
	must "a domain" ask new a "$3"
	must "an attach" ask attach a "$3"
	must "a map" ask map a $USER_IOVA "$SPOT" 0x1000
	must "the other device" lands "$3" $USER_IOVA "$SPOT"
	without_its_driver "$1" "$2" other-domain $USER_IOVA 5
	must "a claim" ask claim "$2" b
	without_its_driver "$1" "$2" not-attached $USER_IOVA 2
	must "a domain" ask new b "$2"
	must "an attach" ask attach b "$2"
	must "a map" ask map b $USER_IOVA "$SPOT" 0x1000
	must "its own domain" lands "$2" $USER_IOVA "$SPOT"
	must "a detach" ask detach b "$2"
	without_its_driver "$1" "$2" detached $USER_IOVA 2
	must "a detach" ask detach a "$3"
	must "a release" ask release "$3"
	must "a release" ask release "$2"
	must "an end" eval 'ask free a && ask free b'
}

# removed KIND BDF: the kernel has removed the device, which still has power. A mark is a write to
# testdev, so that testdev has to be present again for the last one.
removed() {
	base=$(base_of "$2")
	begin_cell "$1" unplugged
	iova=$SPOT
	echo 1 > "$PCI/$2/remove"
	try "$1@$base" "$SPOT"
	log_has "requester $2, which is not a device" || refusal="it was not reported"
	echo 1 > /sys/bus/pci/rescan
	refused_cell "$1" unplugged "$2" 2
}

# without_driver KIND BDF
without_driver() {
	must "identity" set_type "$2" identity
	must "an identity domain" lands "$2" "$SPOT"
	must "DMA" set_type "$2" DMA
	without_its_driver "$1" "$2" identity-to-DMA "$SPOT" 5
	removed "$1" "$2"
	cannot "$1" other-owners-function "it has no virtual functions"
}

# with_user KIND BDF: testdev belongs to another user.
with_user() {
	for row in never-mapped unmapped write-only beyond-aperture interrupt-window detached \
		   not-attached; do
		case $row/$(stage_of "$2") in
		write-only/first) reads_too "$1" ;;
		*) by_user "$1" "$2" $row ;;
		esac
	done
	if [ "$1" = nvme ]; then
		by_user "$1" "$2" read-only
	else
		cannot "$1" read-only "it reads the address before it writes, and QEMU records no write that a cached entry refuses"
	fi
	sleep 6
	by_user "$1" "$2" other-domain "$testdev"
	cannot "$1" identity-to-DMA "VFIO gives no identity domain"
	cannot "$1" unplugged "unplugged it is off the bus and makes no requests"
}

ktap_start 40
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
must "vtd_owner" load_owner
mark "matrix begin"
with_driver edu $edu
with_driver testdev $testdev
unbind $edu
unbind $testdev
# A device has ten reports in five seconds.
sleep 6
in_domains edu $edu $testdev
in_domains testdev $testdev $edu
without_driver edu $edu
without_driver testdev $testdev
rmmod vtd_owner
echo 0 > "$PCI/$pf/sriov_drivers_autoprobe"
must "virtual functions" eval 'net_device $pf && echo 2 > "$PCI/$pf/sriov_numvfs"'
vf=$(basename "$(readlink "$PCI/$pf/virtfn0")")
sibling=$(basename "$(readlink "$PCI/$pf/virtfn1")")
for given in "$nvme" "$vf" "$sibling" $testdev; do
	must "giving $given to a user" give_to_user "$given"
done
with_user nvme "$nvme"
cannot nvme other-owners-function "it has no virtual functions"
with_user igbvf "$vf"
by_user igbvf "$vf" other-owners-function "$sibling"
for given in "$nvme" "$vf" "$sibling" $testdev; do
	take_back "$given"
done
echo 0 > "$PCI/$pf/sriov_numvfs"
ktap_check "no kernel warning" dmesg_is_clean
ktap_end
