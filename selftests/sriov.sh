#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Virtual functions of each igb: each is in a separate group, is added and removed with SR-IOV, and
# works for a user while the physical function works for the kernel.
#
# Boots: users, remapped-races
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/vfio_users.sh"

CLAIMS=8
PROGRAM=${VFIO_IGBVF:-$PROGRAMS/vfio_igbvf}

functions() {
	echo "$1" > "$PCI/$pf/sriov_numvfs"
}

group_of() {
	basename "$(readlink "$PCI/$1/iommu_group")"
}

has_groups() {
	seen=" $(group_of "$pf") "
	for link in "$PCI/$pf"/virtfn*; do
		vf=$(basename "$(readlink "$link")")
		group=$(group_of "$vf") || { echo "$vf has no group"; return 1; }
		case $seen in
		*" $group "*) echo "$vf shares group $group"; return 1 ;;
		esac
		seen="$seen$group "
		[ "$VTD_KO" = none ] ||
			[ -f "/sys/kernel/debug/iommu/intel/$vf/domain_translation_struct" ] ||
			{ echo "the tables of $vf are not shown"; return 1; }
	done
	[ "$(ls -d "$PCI/$pf"/virtfn* | wc -l)" = "$1" ]
}

works_for_kernel() {
	[ "$(driver_of "$pf")" = igb ] && net_device "$pf" > /dev/null
}

are_gone() {
	functions 0
	[ ! -e "$PCI/$pf/virtfn0" ] && [ ! -e "$PCI/$vf" ] &&
		[ ! -e "/sys/kernel/debug/iommu/intel/$vf" ]
}

# A load that unbinds the physical function's driver removes the virtual functions with it.
rebound() {
	need_no_vtd && modprobe igb && functions 2 && insmod "$VTD_KO" bound=2 || return 1
	[ "$(driver_of "$pf")" = igb ] || { echo "$pf is driven by $(driver_of "$pf")"; return 1; }
	log_has "$pf: its 2 virtual function.s. were removed with its driver. To create them again: echo 2 >" &&
		! log_since | grep "did not come back"
}

igbs=$(pci_by_id 0x8086:0x10c9)
[ -n "$igbs" ] || ktap_skip_all "there is no igb (8086:10c9)"
for pf in $igbs; do
	[ -e "$PCI/$pf/sriov_numvfs" ] || ktap_skip_all "$pf has no SR-IOV in this kernel"
done
[ -x "$PROGRAM" ] || ktap_skip_all "vfio_igbvf was not built"
ktap_start $(($(echo "$igbs" | wc -l) * (2 * CLAIMS + 11)))
for pf in $igbs; do
	need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
	log_start
	# No driver of the kernel may bind to the virtual functions.
	echo 0 > "$PCI/$pf/sriov_drivers_autoprobe"
	ktap_check "$pf: the physical function works for the kernel" works_for_kernel
	ktap_check "$pf: three virtual functions appear" functions 3
	ktap_check "$pf: each in a separate group" has_groups 3
	vf=$(basename "$(readlink "$PCI/$pf/virtfn1")")
	ktap_check "$pf: one is given to vfio-pci" give_to_user "$vf"
	for mode in type1 iommufd; do
		user_claims "$vf, $mode" $CLAIMS "$PROGRAM" $mode "$vf"
	done
	ktap_check "$pf: a fault on what the user unmapped is reported for that function" \
		log_has "vtd: .*fault: .*$vf.*vfio-pci.* read"
	ktap_check "$pf: the physical function still works for the kernel" works_for_kernel
	take_back "$vf"
	ktap_check "$pf: the virtual functions are removed" are_gone
	ktap_check "$pf: the virtual functions are created and removed again" \
		eval 'functions 7 && has_groups 7 && functions 0'
	if [ "$VTD_KO" = none ]; then
		for what in "bound=2 names it" "its virtual functions can be created again"; do
			ktap_skip "$pf: $what" "it is the kernel's own driver"
		done
	else
		ktap_check "$pf: bound=2 names it, whose virtual functions were removed" rebound
		ktap_check "$pf: the virtual functions can be created again, as the log says" \
			eval 'functions 2 && has_groups 2 && functions 0'
	fi
	ktap_check "$pf: no kernel warning" log_is_clean
done
ktap_end
