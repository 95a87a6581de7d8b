#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# A unit that serves only graphics whose translation must never be turned off: it stays on when a
# detach is requested, during suspend, and when the machine shuts down. A device is disguised as
# such graphics; the driver stays loaded until the machine shuts down.
#
# Boots: graphics-unit
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"
. "$(dirname "$0")/lib/disguise.sh"

[ "$(cmdline guest.units)" = alone ] || ktap_skip_all "firmware's units are not those of this test"
[ "$VTD_KO" != none ] || ktap_skip_all "the kernel's own driver keeps translation on by itself"
grep -q mem /sys/power/state 2> /dev/null || ktap_skip_all "this kernel cannot suspend to memory"
command -v host > /dev/null || ktap_skip_all "no host is there to wake the machine"
need_memory
FREE=$(memory 0x8000)
TESTDEV=0000:00:06.0 EDU=0000:00:05.0
DETACH=/sys/kernel/vtd/detach
UNIT=0xfed90000
unit=$(unit_at $UNIT)
TIGER_LAKE=$TESTDEV/8086:9a49/030000

# register OFFSET: reads 32 bits of the unit through /dev/mem.
register() {
	devmem $((UNIT + $1)) 32
}

translates() {
	[ $(($(register 0x1c) >> 31)) = 1 ] || { echo "translation is off"; return 1; }
}

is_busy() {
	insmod "$VTD_TEST_MODULES/vtd_busy.ko" base=$UNIT state=translation || return 1
	is_refused "vtd: $unit: translation was already on.*kexec.*[Rr]eboot"
	busy=$?
	rmmod vtd_busy
	return $busy
}

detach_is_refused() {
	log_start
	! sh -c "echo 1 > $DETACH" 2> /tmp/why || { echo "the detach was accepted"; return 1; }
	grep -q "$EBUSY" /tmp/why || { cat /tmp/why; return 1; }
	log_has "vtd: not detached: translation of $unit cannot be turned off.*[Rr]eboot"
}

rmmod_is_refused() {
	! rmmod vtd 2> /dev/null || { echo "rmmod succeeded"; return 1; }
}

# as_before: the device reaches what is mapped for it and no more.
as_before() {
	translates && is_served "$TESTDEV"
}

# No other driver: QEMU's unit refuses the DMA of a device that is in no group.
attackers_are_driven() {
	insmod "$VTD_TEST_MODULES/vtd_devices.ko" && insmod "$VTD_TEST_MODULES/vtd_attack.ko"
}

sleeps_and_wakes() {
	host wake-later || return 1
	echo mem > /sys/power/state
}

ktap_start 18
need_no_vtd > /tmp/need 2>&1 || ktap_abort "the module could not be unloaded first: $(cat /tmp/need)"
log_start
ktap_check "graphics of another kind: the driver loads and unloads" eval \
	'disguised $TESTDEV/8086:3e92/030000 && load_vtd && translates && leaves && undisguised'
ktap_check "of this kind, unit already translating: refused, with what to do" eval 'disguised $TIGER_LAKE && is_busy'
log_start
ktap_check "translation off before: the driver loads" load_vtd
ktap_check "the log says that translation cannot be turned off" log_has "vtd: $unit: $TESTDEV: .*translation off"
ktap_check "an IO-APIC that firmware lists behind no unit keeps this one from remapping interrupts" \
	log_has "vtd: $unit: interrupts are not remapped, so a device can forge any: IO-APIC 0 needs "
ktap_check "a device that firmware lists behind no unit is in no group" \
	eval '[ -e "$PCI/$EDU" ] && [ ! -e "$PCI/$EDU/iommu_group" ]'
ktap_check "integrated graphics have an identity domain, which can be changed" \
	eval 'is_now "$TESTDEV" identity && set_type "$TESTDEV" DMA'
ktap_check "it reaches only what is mapped for it" as_before
mark "graphics refused begin"
ktap_check "a detach is refused" detach_is_refused
ktap_check "nothing was freed" as_before
ktap_check "rmmod is refused" rmmod_is_refused
mark "graphics refused end"
ktap_check "removed, the device leaves the unit translating" eval \
	'echo 1 > "$PCI/$TESTDEV/remove" && translates && rmmod_is_refused && detach_is_refused'
ktap_check "rescanned, the device is translated" eval 'echo 1 > /sys/bus/pci/rescan; as_before'
mark "graphics sleep begin"
ktap_check "the machine suspends and resumes" sleeps_and_wakes
mark "graphics sleep end"
ktap_check "after the resume all is as before" as_before
ktap_check "after the resume a detach is refused" detach_is_refused
ktap_check "a mapped page is reached" eval 'attackers_are_driven && attack "$TESTDEV" allowed-write && [ "$(attack_word landed)" = 1 ]'
ktap_check "no kernel warning" dmesg_is_clean
ktap_end
