#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Hostile users: random and invalid requests to VFIO's container and to iommufd, by root and by an
# ordinary user who was given the device node, with processes killed in the middle. Afterwards
# nothing of them is left. The seed is printed; FUZZ_SEED sets it, FUZZ_SECONDS sets for how long
# all of them run together.
#
# Boots: hostile
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/vfio_users.sh"
. "$(dirname "$0")/lib/isolation.sh"

need_memory
PROGRAM=${VFIO_FUZZ:-$PROGRAMS/vfio_fuzz}
ORDINARY=1000
CLAIMS=4
FUZZ_SECONDS=${FUZZ_SECONDS:-$(cmdline guest.fuzz_seconds)}
FUZZ_SEED=${FUZZ_SEED:-$(cmdline guest.fuzz_seed)}
[ -n "$FUZZ_SEED" ] || FUZZ_SEED=$(od -An -tu4 -N4 /dev/urandom | tr -d ' ')
CLAIMS_TIMEOUT=$((${FUZZ_SECONDS:-28} / 4 + 180 * PATIENCE))
EACH_MS=$((${FUZZ_SECONDS:-28} * 1000 / 4))
SPOT=$(memory 0x100000)
FREE=$(memory 0x400000)

bdf=$(pci_by_id 0x1b36:0x0005 | head -n1)
[ -n "$bdf" ] || ktap_skip_all "iommu-testdev is not there"
[ -x "$PROGRAM" ] || ktap_skip_all "vfio_fuzz was not built"

vmstat() {
	sed -n "s/^$1 //p" /proc/vmstat
}

# held: prints what processes could leave behind: domain ids, pages of tables, pages of theirs that
# stay pinned, files of the device.
held() {
	# Processors keep per-CPU counts for a while.
	echo 1 > /proc/sys/vm/stat_refresh
	echo "domain ids: $(domain_ids)"
	echo "pages of tables: $(vmstat nr_iommu_pages)"
	echo "pinned pages: $(($(vmstat nr_foll_pin_acquired) - $(vmstat nr_foll_pin_released)))"
	grep "^$bdf" /sys/kernel/vtd/users
}

# nothing_held: nothing is left behind; deferred work may take a moment.
nothing_held() {
	for try in $(seq $((20 * PATIENCE))); do
		held > /tmp/held-after
		cmp -s /tmp/held-before /tmp/held-after && return 0
		sleep 0.25
	done
	diff /tmp/held-before /tmp/held-after
}

# hand_over USER: gives the user the nodes that are needed, and no others.
hand_over() {
	chown "$1" "/dev/vfio/$(group_of "$bdf")" /dev/vfio/devices/* /dev/iommu
	chmod 600 "/dev/vfio/$(group_of "$bdf")" /dev/vfio/devices/* /dev/iommu
	chmod 666 /dev/vfio/vfio
}


reaches_nothing() {
	refused "$bdf" "$FREE" && refused "$bdf" 0x1000000000 "$FREE"
}

works_for_kernel() {
	echo "$bdf" > /sys/bus/pci/drivers_probe
	load_drivers
	attack "$bdf" allowed-write && [ "$(attack_word landed)" = 1 ] || { echo "$attacked"; return 1; }
	attack "$bdf" never-mapped && [ "$(attack_word landed)" = 0 ] || { echo "$attacked"; return 1; }
}

ktap_start $((4 * (CLAIMS + 2) + 6))
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
log_start
echo "seed: FUZZ_SEED=$FUZZ_SEED" | ktap_note
# Only hostile users may change what is counted.
unload_drivers || ktap_abort "drivers of other devices stay"
ktap_check "the device is given to vfio-pci" give_to_user "$bdf"
ktap_check "a well-behaved user gets it" "$PROGRAMS/vfio_dma" iommufd "$bdf"
sleep 2
settled held > /tmp/held-before 2> /tmp/need || ktap_abort "$(cat /tmp/need)"
for user in 0 $ORDINARY; do
	hand_over $user
	for mode in type1 iommufd; do
		name="$mode, user $user"
		user_claims "$name" $CLAIMS "$PROGRAM" $mode "$bdf" $((FUZZ_SEED + user)) $EACH_MS $user "$SPOT"
		ktap_check "$name: nothing is left of them" nothing_held
		ktap_check "$name: the device reaches nothing afterwards" reaches_nothing
	done
done
hand_over 0
ktap_check "a well-behaved user gets it again" "$PROGRAMS/vfio_dma" iommufd "$bdf"
take_back "$bdf"
ktap_check "the kernel uses it again" works_for_kernel
ktap_check "nothing is left when it is detached" eval 'need_no_vtd && ! vtd_is_loaded'
ktap_check "no kernel warning" log_is_clean
ktap_end
