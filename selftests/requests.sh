#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Requests that do not fit (unaligned, empty, wrapping, past the aperture, over or across existing
# mappings) have defined results and are never done by half: through VFIO's container, through
# iommufd, and through the kernel's own interface.
#
# Boots: three-levels, users*, first-stage
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/vfio_users.sh"

PROGRAM=${VFIO_REQUESTS:-$PROGRAMS/vfio_requests}
STRESS=${VFIO_STRESS:-$PROGRAMS/vfio_stress}
STRESS_CLAIMS=4
TYPE1_CLAIMS=46
IOMMUFD_CLAIMS=59
RUN=/sys/kernel/debug/vtd_domain/run
SCENARIOS="request-unaligned request-empty request-wraps request-aperture request-memory request-access request-twice request-over-small request-over-large unmap-nothing unmap-inside unmap-start unmap-hole unmap-mixed"

bdf=$(pci_by_id 0x1b36:0x0005 | head -n1)
[ -n "$bdf" ] || ktap_skip_all "iommu-testdev is not there"
[ -x "$PROGRAM" ] || ktap_skip_all "vfio_requests was not built"

# shellcheck disable=SC2086
set -- $SCENARIOS
ktap_start $((TYPE1_CLAIMS + IOMMUFD_CLAIMS + 2 * STRESS_CLAIMS + $# + 2))
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
log_start
rmmod vtd_attack
insmod "$VTD_TEST_MODULES/vtd_domain.ko" || ktap_abort "vtd_domain does not load"
for scenario in $SCENARIOS; do
	# The kernel's own driver of 7.3 crashes on such requests (its page-table code recurses without
	# end), so it is not tested.
	if [ "$VTD_KO" = none ]; then
		ktap_skip "kernel: $scenario" "the kernel's own driver is not tested"
		continue
	fi
	echo "$scenario" > $RUN 2> /tmp/said && cat $RUN > /tmp/said
	if [ "$(cat /tmp/said)" = ok ]; then
		ktap_pass "kernel: $scenario"
	elif grep -q '^skip: ' /tmp/said; then
		ktap_skip "kernel: $scenario" "$(sed -n 's/^skip: //p' /tmp/said)"
	else
		ktap_fail "kernel: $scenario" "$(cat /tmp/said)"
	fi
done
rmmod vtd_domain
# Best reserved at boot (hugepages=); later memory may be too fragmented.
had=$(cat /proc/sys/vm/nr_hugepages)
[ "$had" -ge 8 ] || echo 8 > /proc/sys/vm/nr_hugepages
ktap_check "the device is given to vfio-pci" give_to_user "$bdf"
[ "$(stage_of "$bdf")" = second ] || export FIRST_STAGE=1
user_claims type1 $TYPE1_CLAIMS "$PROGRAM" type1 "$bdf"
user_claims iommufd $IOMMUFD_CLAIMS "$PROGRAM" iommufd "$bdf"
for mode in type1 iommufd; do
	user_claims "threads, $mode" $STRESS_CLAIMS "$STRESS" $mode "$bdf"
done
echo "$had" > /proc/sys/vm/nr_hugepages
take_back "$bdf"
load_drivers
ktap_check "no kernel warning" log_is_clean
ktap_end
