#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The devices of one group belong to the kernel or to one user, never to both. What would mix them
# is refused, by the core and by the driver itself; what ends a claim must not fail. The group is
# a PCIe-to-PCI bridge with two devices behind it, which all use the bridge's requester ID.
#
# Boots: isolation*
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"

need_memory
BRIDGE=0000:00:09.0
RESET_PORT=0000:00:0e.0
PAGE=$(memory 0x8000)
# shellcheck disable=SC2046
set -- $(behind $BRIDGE 2>/dev/null)
[ $# = 2 ] || ktap_skip_all "no bridge with two devices behind it at $BRIDGE"
EDU2=$1
TESTDEV2=$2
SPARE=$(behind $RESET_PORT)
ALONE=0000:00:06.0

all_are() {
	is_now $BRIDGE "$1" && is_now "$EDU2" "$1" && is_now "$TESTDEV2" "$1"
}

# driver_refuses NAME REQUEST: bypassing the core: EBUSY, no descriptor, no change.
driver_refuses() {
	name=$1
	shift
	cut -d' ' -f1,4 /sys/kernel/vtd/users > /tmp/before
	log_start
	mark "ownership $name begin"
	refuses "$EBUSY" "$*" || { mark "ownership $name end"; return 1; }
	mark "ownership $name end"
	cut -d' ' -f1,4 /sys/kernel/vtd/users | diff /tmp/before -
}

# says PATTERN: one log line about the refusal names group, device and sibling.
says() {
	log_has "vtd: .*group $(group_of $BRIDGE): .*$1" &&
		[ "$(log_since | grep -c 'vtd: .*group')" = 1 ]
}

works() {
	attack "$1" allowed-write && [ "$(attack_word landed)" = 1 ] || { echo "$attacked"; return 1; }
}

bind_fails() {
	! bind "$1" "$2" 2> /dev/null || { echo "$1 was bound to $2"; return 1; }
}

ktap_start 64
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
load_owner
log_start

# --- claims while devices have drivers ---
ktap_check "driven devices: a claim is refused" refuses "$EPERM" claim "$TESTDEV2" a
unbind "$TESTDEV2"
ktap_check "a driven sibling: a claim is refused" refuses "$EPERM" claim "$TESTDEV2" a
ktap_check "a driven sibling: a claim of the bridge is refused" refuses "$EPERM" claim $BRIDGE a
ktap_check "the sibling's DMA continues" works "$EDU2"

# --- a driver's own domain ---
ask new a $ALONE
ask map a $USER_IOVA "$PAGE" 0x1000
ktap_check "a driver's own domain: granted" eval 'ask attach a $ALONE && is_now $ALONE unmanaged'
ktap_check "a driver's own domain: the device reaches it" lands $ALONE $USER_IOVA "$PAGE"
ktap_check "back to the default domain: this must not fail" \
	eval 'ask detach a $ALONE && is_now $ALONE DMA && works $ALONE'
# The bridge has no driver, so that the owner of this domain is unknown.
ktap_check "the same for a driven device with undriven siblings: refused" \
	driver_refuses driven-sibling attach a "$EDU2"

# --- bypassing the core: a user's domain while a device has a driver ---
ask current d "$EDU2"
ask blocked b "$EDU2"
ask newfd e "$EDU2"
ktap_check "iommufd's domain for a driven device: refused" \
	driver_refuses over-driver force e "$EDU2" d
ktap_check "the log names device, driver and siblings" says "$EDU2 .*driver vtd_attack.*$TESTDEV2"
ktap_check "a user's domain with a driven sibling: refused" \
	driver_refuses kernel-sibling force e "$TESTDEV2" d
ktap_check "the log names device, and the sibling with its driver" \
	says "$TESTDEV2 .*$EDU2 .*vtd_attack"
ktap_check "the sibling's DMA still continues" works "$EDU2"

# --- a claim ---
unbind "$EDU2"
ktap_check "no driver: a claim is granted" ask claim "$TESTDEV2" a
ktap_check "claimed: all are blocked" all_are blocked
ktap_check "claimed: no DMA of one" refused "$EDU2" "$PAGE"
ktap_check "claimed: no DMA of the other" refused "$TESTDEV2" "$PAGE"
ktap_check "claimed: a driver is refused" bind_fails "$EDU2" vtd_attack
ktap_check "claimed: a second owner is refused" refuses "$EPERM" claim "$EDU2" c
ktap_check "claimed: the same owner is not" ask claim "$EDU2" a
ktap_check "the first of two releases changes nothing" \
	eval 'ask release "$EDU2" && all_are blocked'

# --- a user's domain ---
ask free a
ask new a "$EDU2"
ask map a $USER_IOVA "$PAGE" 0x1000
ktap_check "its domain: granted" ask attach a "$TESTDEV2"
ktap_check "its domain: for the whole group" all_are unmanaged
ktap_check "its domain: one reaches it" lands "$TESTDEV2" $USER_IOVA "$PAGE"
ktap_check "its domain: the other reaches it" lands "$EDU2" $USER_IOVA "$PAGE"
ktap_check "its domain: memory that is not mapped in it is not reached" refused "$EDU2" "$PAGE"
ask new c "$EDU2"
ktap_check "another domain at the same time: refused" refuses "$EBUSY" attach c "$EDU2"

# --- bypassing the core: a mixture in a user's group ---
ktap_check "blocking one device: granted" eval 'ask force b "$TESTDEV2" a && is_now "$TESTDEV2" blocked'
ktap_check "a second user's domain for it: refused" \
	driver_refuses second-owner force c "$TESTDEV2" b
ktap_check "the log names device, sibling and owner" says "$TESTDEV2 .*$EDU2 .*user"
ktap_check "the kernel's domain for it: refused" driver_refuses user-sibling force d "$TESTDEV2" b
ktap_check "the log names device, sibling and owner again" says "$TESTDEV2 .*$EDU2 .*user"
ktap_check "back to its user: this must not fail" ask force a "$TESTDEV2" b
ktap_check "back from a user to the kernel: this must not fail" \
	eval 'ask force d "$TESTDEV2" a && is_now "$TESTDEV2" DMA'
ktap_check "back to the user: this must not fail" eval 'ask force a "$TESTDEV2" d && all_are unmanaged'

# --- members removed and added while a user owns the group ---
base=$(cut -d' ' -f1 "$PCI/$TESTDEV2/resource" | head -n1)
echo 1 > "$PCI/$TESTDEV2/remove"
ktap_check "a member removed: it is no longer listed" eval '! grep "$TESTDEV2" /sys/kernel/vtd/users'
ktap_check "a member removed: the others keep the domain" lands "$EDU2" $USER_IOVA "$PAGE"
echo 1 > /sys/bus/pci/rescan
ktap_check "a member added: it joins the user's domain" all_are unmanaged
ktap_check "a member added: its driver is refused" eval '[ "$(driver_of "$TESTDEV2")" = none ]'
ktap_check "a member added: it reaches the domain" lands "$TESTDEV2" $USER_IOVA "$PAGE"
ktap_check "a member added: and no other memory" refused "$TESTDEV2" "$PAGE"
echo 1 > "$PCI/$TESTDEV2/remove"
ask detach a "$EDU2"
echo 1 > /sys/bus/pci/rescan
ktap_check "a member added to a blocked group is blocked" all_are blocked
ktap_check "a member added to a blocked group reaches nothing" refused "$TESTDEV2" $USER_IOVA "$PAGE"

# --- the end of it ---
ask attach a "$EDU2"
ktap_check "a detach: all are blocked" eval 'ask detach a "$EDU2" && all_are blocked'
ktap_check "a release: the default domain" eval 'ask release "$EDU2" && all_are DMA'
ktap_check "released: what the user had mapped is out of reach" refused "$EDU2" $USER_IOVA "$PAGE"
ktap_check "released: drivers bind again" eval 'bind "$EDU2" vtd_attack && bind "$TESTDEV2" vtd_attack'
ktap_check "released: and work" eval 'works "$EDU2" && works "$TESTDEV2"'

# --- an identity domain belongs to the kernel, too ---
unbind "$EDU2"
unbind "$TESTDEV2"
ktap_check "the group becomes identity" eval 'set_type "$EDU2" identity && all_are identity'
ktap_check "identity: a claim is granted and blocks" eval 'ask claim "$EDU2" a && all_are blocked'
ktap_check "identity: nothing is reached while claimed" refused "$EDU2" "$PAGE"
ktap_check "identity: a release restores the identity domain" \
	eval 'ask release "$EDU2" && all_are identity && lands "$EDU2" "$PAGE"'
ktap_check "the group becomes DMA again" set_type "$EDU2" DMA

# --- access control (ACS), which a reset turns off behind the driver's back ---
control() {
	word $RESET_PORT $((capability + 6)) 2
}
# The driver checks it every second, which may be right now. On a debug kernel the walk to the
# capability takes as long as that, so it was done before.
is_off() {
	for try in $(seq $((5 * PATIENCE))); do
		access_control_off $RESET_PORT $capability
		[ "$(control)" != 0 ] || return 0
	done
	echo "it cannot be turned off"
	return 1
}
is_on() {
	[ "$(control)" = "$before" ] || { echo "it is $(control), not $before"; return 1; }
}
is_on_soon() {
	for try in $(seq $((15 * PATIENCE))); do
		is_on && return 0
		sleep 0.2
	done
	return 1
}
capability=$(access_control $RESET_PORT)
if [ -n "$capability" ]; then
	unbind "$SPARE"
	before=$(control)
	log_start
	ktap_check "access control: on" test "$before" != 0
	ktap_check "access control: off, and on before a user has a device" \
		eval 'is_off && ask claim "$SPARE" a && ask new h "$SPARE" && ask attach h "$SPARE" && is_on'
	ktap_check "access control: the log says so" log_has "vtd: $RESET_PORT: .*access control was off"
	ask detach h "$SPARE" && ask release "$SPARE" && ask free h
	ktap_check "access control: off, and on a little later by itself" eval 'is_off && is_on_soon'
else
	for what in "on" "before a user" "is logged" "by itself"; do
		ktap_skip "access control: $what" "$RESET_PORT has none"
	done
fi

# --- a reset ---
unbind "$SPARE"
ask new f "$SPARE"
ktap_check "reset: a device that the core blocks during it is claimed" \
	eval 'ask claim "$SPARE" a && ask attach f "$SPARE" && is_now "$SPARE" unmanaged'
mark "ownership reset begin"
ktap_check "reset: the device is reset" sh -c "echo 1 > $PCI/$SPARE/reset"
mark "ownership reset end"
ktap_check "reset: it has its user's domain again" is_now "$SPARE" unmanaged
ktap_check "reset: it is released" eval 'ask detach f "$SPARE" && ask release "$SPARE"'
ktap_check "reset: and has the default domain again" is_now "$SPARE" DMA

rmmod vtd_owner
load_drivers
ktap_check "the drivers serve their devices again" \
	eval 'bind "$EDU2" vtd_attack; bind "$TESTDEV2" vtd_attack; works "$EDU2" && works "$TESTDEV2"'
log_start
ktap_check "no kernel warning" dmesg_is_clean
ktap_end
