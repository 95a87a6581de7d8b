#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The capabilities that the driver reports are those of the unit: of its own registers, as
# /dev/mem shows them. iommufd, VFIO, vDPA, Thunderbolt and the DMA API rely on them.
#
# Boots: isolation*, users*
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"

bdf=$(pci_by_id 0x1b36:0x0005 | head -n1)
[ -n "$bdf" ] || ktap_skip_all "iommu-testdev is not there"
UNIT=$PCI/$bdf/iommu/intel-iommu

# register OFFSET: reads 64 bits of the unit that serves the device.
register() {
	devmem $((0x$(cat "$UNIT/address") + $1)) 64
}

# bit VALUE NUMBER
bit() {
	echo $(($1 >> $2 & 1))
}

# answers NAME VALUE: the driver reported this value, once, and nothing else.
answers() {
	grep "^$1=" $OWNER > /tmp/answer
	[ "$(cat /tmp/answer)" = "$1=$2" ] || { echo "not $2: $(cat $OWNER)"; return 1; }
}

shows() {
	[ $((0x$(cat "$UNIT/cap"))) -eq $((CAP)) ] && [ $((0x$(cat "$UNIT/ecap"))) -eq $((ECAP)) ] ||
		{ echo "$(cat "$UNIT/cap") $(cat "$UNIT/ecap"), not $CAP $ECAP"; return 1; }
}

ktap_start 10
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
CAP=$(register 8) ECAP=$(register 16)
[ $((ECAP)) -ne 0 ] || ktap_abort "/dev/mem does not show the unit's registers"
# VT-d 8.1: flags, of which bit 2 is DMA_CTRL_PLATFORM_OPT_IN_FLAG.
FLAGS=$(od -An -v -tu1 -j 37 -N 1 /sys/firmware/acpi/tables/DMAR)
SNOOP_CONTROL=$(bit "$ECAP" 7)
OPTED_IN=$(bit "$FLAGS" 2)
load_owner
log_start

ktap_check "sysfs shows the unit's own CAP and ECAP" shows
ktap_check "the driver reports its capabilities" ask capable "$bdf"
ktap_check "cache coherency: yes, as on all of x86" answers cache-coherency 1
ktap_check "no-execute: no, second-stage entries have no such bit" answers noexec 0
if [ "$VTD_KO" = none ]; then
	ktap_check "pre-boot protection: as firmware's table says" \
		answers pre-boot-protection "$OPTED_IN"
else
	# Whatever the table says: memory was not protected between the boot and the load.
	ktap_check "pre-boot protection: no, the driver was loaded after the boot" \
		answers pre-boot-protection 0
fi
ktap_check "enforced coherency: as the unit's ECAP.SC" \
	answers enforce-cache-coherency "$SNOOP_CONTROL"
if [ "$VTD_KO" = none ]; then
	ktap_skip "deferred flush" "the core does not ask the kernel's own driver"
else
	ktap_check "deferred flush: yes, lazy domains are supported" answers deferred-flush 1
fi
ktap_check "dirty tracking: no, and the unit has none (ECAP.SSADS)" \
	eval '[ "$(bit "$ECAP" 45)" = 0 ] && answers dirty-tracking 0'
# Otherwise the two checks above would pass with a driver that does not read the registers.
wanted="$(cmdline guest.snoop) $(cmdline guest.optin)"
if [ "$wanted" != " " ]; then
	ktap_check "the machine is the requested one" [ "$wanted" = "$SNOOP_CONTROL $OPTED_IN" ]
else
	ktap_skip "the machine is the requested one" "guest.snoop= and guest.optin= do not describe one"
fi
rmmod vtd_owner
load_drivers
ktap_check "no kernel warning" log_is_clean
ktap_end
