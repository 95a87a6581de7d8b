#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# A domain whose tables a unit cannot walk is refused before anything changes, and the next
# domain is allocated to suit the unit. The test reduces the unit's capabilities at run time, like
# a unit among more capable ones.
#
# Boots: isolation*
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"

need_memory
LIMIT=/sys/kernel/vtd/limit_units
PAGE=$(memory 0x8000)
WIDE=last=0xffffffffffff
NARROW=last=0x7fffffffff
ALL_SIZES=pages=0x40201000
SMALL=pages=0x1000
bdf=0000:00:06.0
ENOSPC="[Nn]o space left"
[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver has no limit_units"
[ -e "$PCI/$bdf" ] || ktap_skip_all "iommu-testdev is not at $bdf"

# limit BITS: 1 no tables above 39 bits, 2 no large pages, N << 16 only N domain-ids.
limit() {
	echo "$1" > $LIMIT
}

# is_compatible SLOT WORDS: a domain allocated now has this geometry.
is_compatible() {
	slot=$1
	shift
	ask new "$slot" $bdf || return 1
	for word in force=1 "$@"; do
		grep -q "$word\\b" $OWNER || { echo "no $word in: $(cat $OWNER)"; return 1; }
	done
}

# is_narrow SLOT PAGES: a domain allocated now has 39 bits; there is none if its stage cannot have them.
is_narrow() {
	if [ "$stage" = first ]; then
		refuses "$EINVAL" new "$1" $bdf
	else
		is_compatible "$1" $NARROW "$2"
	fi
}

# narrow NAME COMMAND...: a check of a domain that a unit with tables of 39 bits can walk.
narrow() {
	if [ "$stage" = first ]; then
		ktap_skip "$1" "a first stage has only tables of 48 bits"
	else
		ktap_check "$@"
	fi
}

# is_incompatible NAME SLOT: the attach fails with EINVAL, submits no descriptor, changes nothing.
is_incompatible() {
	mark "limited-unit $1 begin"
	refuses "$EINVAL" attach "$2" $bdf || { mark "limited-unit $1 end"; return 1; }
	mark "limited-unit $1 end"
	is_now $bdf blocked && refused $bdf $USER_IOVA "$PAGE"
}

# serves SLOT: the domain translates once attached, and no longer once detached.
serves() {
	ask map "$1" $USER_IOVA_NARROW "$PAGE" 0x1000
	ask attach "$1" $bdf && lands $bdf $USER_IOVA_NARROW "$PAGE" && ask detach "$1" $bdf &&
		refused $bdf $USER_IOVA_NARROW "$PAGE"
}
# An address below 39 bits and above all memory.
USER_IOVA_NARROW=0x4000000000

# A reset blocks the device. The attach after it must not fail: the core warns if it does.
comes_back_from_reset() {
	limit $((2 << 16))
	echo 1 > "$PCI/$spare/reset" && is_now "$spare" unmanaged
	came_back=$?
	limit 0
	return $came_back
}

may_not() {
	! sh -c "echo 1 > $LIMIT" 2> /tmp/why && grep -q "not permitted" /tmp/why
}

ktap_start 22
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
log_start
insmod "$VTD_KO"
ktap_check "without test_hooks=1 nothing can be restricted" may_not
need_no_vtd && insmod "$VTD_KO" test_hooks=1 || ktap_abort "the module does not load with test_hooks=1"
load_owner
# The core blocks this device during a reset.
spare=$(behind 0000:00:0e.0)
unbind "$spare"

# A first stage maps the lower half of the addresses, and has only tables of 48 bits.
stage=$(stage_of $bdf) smallest=e
[ "$stage" = second ] || WIDE=last=0x7fffffffffff smallest=c
ktap_check "whole unit: a domain of 48 bits with all page sizes" is_compatible a $WIDE $ALL_SIZES
ktap_check "the group is claimed" ask claim $bdf a
limit 1
ktap_check "39 bits: the domain of 48 bits is refused" is_incompatible width a
ktap_check "39 bits: no domain is allocated that it cannot walk" is_narrow b $ALL_SIZES
narrow "39 bits: the new domain serves" serves b
limit 2
ktap_check "small pages: the domain with large ones is refused" is_incompatible pages a
narrow "small pages: the domain of 39 bits is refused" is_incompatible pages-narrow b
ktap_check "small pages: a new domain has only small pages" is_compatible c $WIDE $SMALL
ktap_check "small pages: the new domain serves" serves c
limit 3
ktap_check "both: the domain with small pages is refused" is_incompatible both c
ktap_check "both: no domain is allocated that it cannot walk" is_narrow e $SMALL
narrow "both: the new domain serves" serves e
limit 0
ktap_check "whole unit again: the first domain serves" serves a
ktap_check "whole unit again: the smallest domain serves" eval 'ask attach $smallest $bdf && lands $bdf $USER_IOVA_NARROW "$PAGE" && ask detach $smallest $bdf'
ktap_check "no domain-id is left: a domain that has none is refused" eval 'limit $((2 << 16)) && ask new f "$spare" && ask claim "$spare" f && refuses "$ENOSPC" attach f "$spare"'
limit 0
ktap_check "ids again: that domain is attached" ask attach f "$spare"
ktap_check "no domain-id is left: the device works after a reset" comes_back_from_reset
ktap_check "the device is detached and released" eval 'ask detach f "$spare" && ask release "$spare" && is_now "$spare" DMA'
ktap_check "the group is released to its default domain" eval 'ask release $bdf && is_now $bdf DMA'
rmmod vtd_owner
load_drivers
ktap_check "the driver of the group's device works" eval 'attack $bdf allowed-write && [ "$(attack_word landed)" = 1 ]'
ktap_check "no kernel warning" log_is_clean
ktap_end
