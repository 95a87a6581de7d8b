#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Deferred flushing chosen on the kernel's command line (iommu.strict=0), or by the module's
# parameter: the choice takes effect and is logged once. Memory is held (hold.sh).
#
# Boots: lazy-by-kernel, lazy-by-module
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"

COST="before the next flush .*can still reach"
bdf=$(pci_by_id 0x1b36:0x0005 | head -n1)
[ -n "$bdf" ] || ktap_skip_all "iommu-testdev is not there"
[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver says nothing of it"
case $(cat /proc/cmdline) in
*iommu.strict=0*) chosen='' ;;
*) chosen=lazy=1 ;;
esac

tainted() {
	grep -q user-taint=1 $OWNER || { cat $OWNER; return 1; }
}

# All domains are of a DMA type, and lazy: of five attacks at least one finds an open window.
has_window() {
	longest=0
	for round in 1 2 3 4 5 6 7 8; do
		mark "lazy window begin"
		attack "$bdf" window
		mark "lazy window end"
		[ "$(attack_word error)" = 0 ] || { echo "$attacked"; return 1; }
		say "window bdf=$bdf policy=${chosen:-iommu.strict=0} hits=$(attack_word hits) last-us=$(attack_word last-us)"
		[ "$(attack_word last-us)" -le $longest ] || longest=$(attack_word last-us)
	done
	[ $longest -gt 0 ] && [ $longest -lt 500000 ] || { echo "the longest is $longest us"; return 1; }
}

once() {
	[ "$(log_since | grep -c "$COST")" = 1 ] || { log_since | grep "$COST"; return 1; }
}

ktap_start 7
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
log_start
load_owner
ktap_check "before: the kernel is not tainted" eval '! tainted > /dev/null'
# shellcheck disable=SC2086
insmod "$VTD_KO" $chosen && load_drivers || ktap_abort "the module does not load"
ktap_check "the group's type is DMA-FQ" test "$(group_type "$bdf")" = DMA-FQ
ktap_check "a page just unmapped can be reached for a while" has_window
echo "# ${chosen:-iommu.strict=0}: reached for up to $longest us after the unmap"
ktap_check "the log says what it costs" log_has "vtd: .*deferred.*$COST"
ktap_check "the log says so once" once
ktap_check "the kernel is not tainted, because memory is held" eval '! tainted > /dev/null'
rmmod vtd_owner
ktap_check "no kernel warning" log_is_clean
ktap_end
