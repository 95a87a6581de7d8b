#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The states in which the driver is asked to detach. While a device is in use the detach is
# refused, the log names the device, and its work is not disturbed. In each other state the
# detach succeeds, and translation is off before the tables are freed.
#
# Boots: late
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"
. "$(dirname "$0")/lib/vfio_users.sh"
. "$(dirname "$0")/lib/fio.sh"
. "$(dirname "$0")/lib/memory.sh"

DETACH=/sys/kernel/vtd/detach
EVENT=/sys/kernel/tracing/events/kmem/mm_page_free
TRACED=/sys/kernel/tracing/trace
SLOT=0xa000000000	# an address for a user's page

disk_bdf=$(echo "${VTD_DISKS:-}" | cut -d' ' -f1)
[ -n "$disk_bdf" ] || ktap_skip_all "VTD_DISKS names no disk that may be overwritten"
victim=$(pci_by_id 0x1b36:0x0005 | head -n1)
[ -n "$victim" ] || ktap_skip_all "iommu-testdev is not there"
[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver cannot be detached"

# detach_is_refused PATTERN: the detach is refused, and the log names the device.
detach_is_refused() {
	log_start
	! sh -c "echo 1 > $DETACH" 2> /tmp/why || { echo "the detach was accepted"; return 1; }
	grep -q "$EBUSY" /tmp/why || { cat /tmp/why; return 1; }
	log_has "vtd: $1" && log_has "not detached: .*in use" && rmmod_is_refused
}

rmmod_is_refused() {
	! rmmod vtd 2> /dev/null || { echo "rmmod succeeded"; return 1; }
}

detaches() {
	echo 1 > $DETACH
}

unloads() {
	detaches && rmmod vtd && ! vtd_is_loaded
}

# Loads only the driver and what the states below need.
fresh() {
	need_no_vtd && insmod "$VTD_KO" "$@"
}

lands() {
	load_drivers && attack "$victim" allowed-write && [ "$(attack_word landed)" = 1 ] ||
		{ echo "$attacked"; return 1; }
}

# user_prevents_detach MODE
user_prevents_detach() {
	give_to_user "$victim" && hold "$1" "$victim" || return 1
	detach_is_refused "$victim is in use by driver vfio-pci"
	refused=$?
	# The user is not disturbed: the device can be taken back in the ordinary way.
	release_user
	take_back "$victim"
	return $refused
}

no_user_prevents_detach() {
	rmmod vfio_iommu_type1 && rmmod vfio_pci && unloads
}

# --- translation off before tables go ---

# frees: prints how often the page of the root table was freed.
frees() {
	grep -c mm_page_free: $TRACED
}

watch_root_table() {
	base=$(unit_base "$(unit_of "$victim")")
	root=$(($(devmem $((base + 0x20)) 64) >> 12))
	[ $root -gt 0 ] || { echo "the unit has no root table"; return 1; }
	echo > $TRACED
	echo "pfn == $root" > $EVENT/filter && echo 1 > $EVENT/enable
}

is_allocated_until_off() {
	translates_at "$base" && detaches || return 1
	! translates_at "$base" || { echo "translation is on after a detach"; return 1; }
	[ "$(frees)" = 0 ] || { echo "the root table was freed by a detach:"; cat $TRACED; return 1; }
}

is_freed() {
	rmmod vtd || return 1
	echo 0 > $EVENT/enable
	[ "$(frees)" = 1 ] || { echo "the root table was freed $(frees) times"; return 1; }
}

# --- concurrent binding ---

# A detach that releases ports takes longer, and needs a longer pause.
bind_and_unbind() {
	pause=0
	while [ ! -e /tmp/enough ]; do
		echo "$victim" > /sys/bus/pci/drivers/vtd_attack/bind
		echo "$victim" > /sys/bus/pci/drivers/vtd_attack/unbind
		sleep 0.$pause
		pause=$(((pause + 1) % 6))
	done 2> /dev/null
}

# Drivers are bound and unbound while vtd detaches, which may succeed between two of them.
unloads_concurrently() {
	fresh && insmod "$VTD_TEST_MODULES/vtd_devices.ko" &&
		insmod "$VTD_TEST_MODULES/vtd_attack.ko" || return 1
	# The other device of this driver would always prevent a detach.
	for bdf in $(attackers); do unbind "$bdf"; done
	rm -f /tmp/enough
	bind_and_unbind &
	binder=$!
	accepted=1
	for try in $(seq $((200 * PATIENCE))); do
		sh -c "echo 1 > $DETACH" 2> /dev/null && { accepted=0; break; }
	done
	touch /tmp/enough
	wait $binder
	[ $accepted = 0 ] || { echo "200 attempts were refused"; return 1; }
	rmmod vtd
}

ktap_start 29
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
load_owner
# No other domain may hold a page of tables while they are counted.
tables_before=$(table_pages)
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
log_start

# --- refused ---
if fio_is_there; then
	disk=$(block_device "$disk_bdf")
	ktap_check "a disk is in use" fio_starts "$disk"
	ktap_check "refused: the disk is named" detach_is_refused "$disk_bdf is in use by driver nvme .DMA."
	ktap_check "refused: the disk's work continues" fio_goes_on "$disk"
	ktap_check "no byte of it was lost" fio_ends "$disk"
else
	for what in "starts" "is named" "continues" "loses nothing"; do
		ktap_skip "a disk in use $what" "there is no fio"
	done
fi
ktap_check "refused: in use by a user through VFIO" user_prevents_detach type1
ktap_check "refused: in use by a user through iommufd" user_prevents_detach iommufd
unload_drivers
ktap_check "accepted once no user is left" no_user_prevents_detach

fresh
ktap_check "refused: a group that is claimed, and blocked" \
	eval 'ask claim "$victim" a && detach_is_refused "$victim is in use: its group is claimed"'
ktap_check "refused: a group with a module's own domain" eval \
	'ask new a "$victim" && ask attach a "$victim" && detach_is_refused "$victim is in use by a user.s domain"'
ktap_check "the claim works after the refusals" eval 'ask map a $SLOT 0x100000 0x1000'
ktap_check "refused: the domain is gone, the claim is not" \
	eval 'ask detach a "$victim" && detach_is_refused "$victim is in use: its group is claimed"'
ask release "$victim"
ktap_check "a domain that is still referenced: the detach is accepted" detaches
ktap_check "a domain that is still referenced: rmmod is refused" rmmod_is_refused
ktap_check "the domain is freed: rmmod succeeds" eval 'ask free a && rmmod vtd'
settle
ktap_check "no page of it is left" test "$(table_pages "$tables_before")" = "$tables_before"

# --- accepted ---
fresh
ktap_check "not in use: it unloads" unloads
fresh
ktap_check "not in use: it unloads after two detaches" eval 'detaches && detaches && rmmod vtd'
fresh
exec 8< "/sys/kernel/debug/vtd/$(unit_of "$victim")/statistics" 9< /sys/kernel/vtd/users
ktap_check "its files are open: the detach is accepted, rmmod is refused" eval \
	'detaches && rmmod_is_refused'
ktap_check "they can be read to their end" eval 'grep -q . <&8 && cat <&9 > /dev/null'
exec 8<&-
ktap_check "once they are closed it unloads, and sysfs files read nothing more" eval \
	'rmmod vtd && ! cat /proc/self/fd/9 2> /dev/null'
exec 9<&-
fresh lazy=1
modprobe nvme
disk=$(block_device "$disk_bdf")
ktap_check "lazy: the disk's group defers flushes" test "$(group_type "$disk_bdf")" = DMA-FQ
mark "detach lazy begin"
ktap_check "lazy: it unloads right after I/O, with flushes pending" eval \
	'dd if=/dev/zero of="/dev/$disk" bs=1M count=16 oflag=direct 2> /dev/null && rmmod nvme && unloads'
mark "detach lazy end"
settle
ktap_check "lazy: no page of tables is left" test "$(table_pages "$tables_before")" = "$tables_before"
if [ -e $EVENT ] && command -v devmem > /dev/null; then
	fresh
	ktap_check "the root table is watched" watch_root_table
	mark "detach order begin"
	ktap_check "the root table stays allocated until translation is off" is_allocated_until_off
	mark "detach order end"
	ktap_check "the root table is freed once, by rmmod" is_freed
else
	for what in "watched" "kept until translation is off" "freed once"; do
		ktap_skip "the root table is $what" "no trace events of pages, or no devmem"
	done
fi
ktap_check "it unloads while drivers are bound and unbound" unloads_concurrently
rmmod vtd_owner
ktap_check "it works again after a load" eval 'need_no_vtd && need_vtd && lands'
ktap_check "no kernel warning" dmesg_is_clean
ktap_end
