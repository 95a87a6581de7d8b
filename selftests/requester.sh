#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Requests that no ordinary device sends: with PASID, for a translation (ATS), translated already, and
# interrupts that are not its own. The device has these capabilities, and turns them on by itself.
# Everything is refused, though the page is mapped for it, and each fault line says why. See
# Documentation/qemu-units.rst for its registers.
#
# Boots: server, shared-domains
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"
. "$(dirname "$0")/lib/requester.sh"

it=$(pci_by_id 0x1b36:0x00f0 | head -n1)
[ -n "$it" ] || ktap_skip_all "there is no vtd-requester (1b36:00f0)"
ats=$(extended_capability "$it" $ATS)
pasid=$(extended_capability "$it" $PASID)
[ -n "$ats" ] && [ -n "$pasid" ] || ktap_skip_all "$it has neither ATS nor PASID"

# register OFFSET [VALUE]: prints or writes a register.
register() {
	register_of "$it" "$@"
}

# control CAPABILITY: prints the control register of its capability.
control() {
	word "$it" $(($1 + 6)) 2
}

# sends COMMAND ADDRESS FLAGS [VALUE]: makes the device send a request; prints its status.
sends() {
	sends_of "$it" "$@"
}

# refused TEXT COMMAND ADDRESS FLAGS [VALUE]: no data moves, and one fault line has the text.
refused() {
	refused_text=$1
	shift
	log_start
	became=$(sends "$@")
	# An interrupt has no completion that could say so.
	[ "$became" != 0 ] || [ "$1" = $INTERRUPT ] || { echo "the request was complete"; return 1; }
	log_has "vtd: $(unit_of "$it"): fault: device $it \\(driver vtd_attack, .*$refused_text" || return 1
	[ "$(log_since | grep -c ': fault: device ')" = 1 ] || { log_since; return 1; }
}

# faults_are_logged: of one device, four in five seconds are.
faults_are_logged() {
	sleep 6
}

# untouched TEXT COMMAND FLAGS: the same for the mapped page, which stays as it was.
untouched() {
	secret=$((secret + 1))
	[ "$(sends $WRITE "$iova" 0 $secret)" = 0 ] || { echo "the page is not mapped"; return 1; }
	address=$iova
	[ $(($3 & AS_TRANSLATED)) = 0 ] || address=$target
	refused "$1" "$2" "$address" "$3" 0x77 || return 1
	[ "$(sends $READ "$iova" 0)" = 0 ] && [ $(($(register 0x20))) = $secret ] ||
		{ echo "the page has $(register 0x20)"; return 1; }
}

# address_of INDEX: that of an interrupt request in remappable format.
address_of() {
	printf '0x%x' $((0xfee00010 | ($1 & 0x7fff) << 5))
}

ktap_start 11
need_vtd > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
# The last page that is mapped for it, and where that is.
line=$(grep '|' "/sys/kernel/debug/iommu/intel/$it/domain_translation_struct" | tail -n1)
[ -n "$line" ] || ktap_abort "nothing is mapped for $it"
iova=$(($(echo "$line" | cut -d' ' -f1) << 12))
target=$((${line##*	} & 0xffffffffff000))
secret=$((0x5ec2e700))
ktap_check "the kernel leaves ATS and PASID of the device off" \
	eval '[ "$(control $ats)" = 0 ] && [ "$(control $pasid)" = 0 ]'
printf '\0\200' | dd of="$PCI/$it/config" bs=1 seek=$((ats + 6)) conv=notrunc 2> /dev/null
printf '\7\0' | dd of="$PCI/$it/config" bs=1 seek=$((pasid + 6)) conv=notrunc 2> /dev/null
ktap_check "the device turns them on" \
	eval '[ "$(control $ats)" = 32768 ] && [ "$(control $pasid)" = 7 ]'

mark "requester $it begin"
faults_are_logged
why="the unit is in legacy mode .*reason 0x31"
ktap_check "a write with PASID is refused" untouched "write of $(printf '0x%x' "$iova") \\(PASID 0x123\\) .*$why" $WRITE $WITH_PASID
ktap_check "a read with PASID is refused" untouched "read of .* \\(PASID 0x123\\) .*$why" $READ $WITH_PASID
why="its context entry does not allow this type of request .*reason 0x0d"
ktap_check "a request for a translation is refused" untouched "read of $(printf '0x%x' "$iova") .*$why" $TRANSLATE 0
ktap_check "a request for a translation for writing is refused" untouched "write of .*$why" $TRANSLATE $FOR_WRITE
faults_are_logged
ktap_check "a write to a physical address, as translated, is refused" \
	untouched "write of $(printf '0x%x' "$target") .*$why" $WRITE $AS_TRANSLATED
ktap_check "the device has got no translation" eval '[ $(($(register 0x78))) = 0 ] && [ $(($(register 0x80))) = 0 ]'
if dmesg | grep -q "vtd: $(unit_of "$it"): interrupts are remapped: a device can raise no"; then
	ktap_check "an interrupt in compatibility format is refused" \
		refused "interrupt request in compatibility format refused: .*reason 0x25" $INTERRUPT 0xfee00000 0
	other=$(sed -n 's/^ *\([0-9]*\) \(0000:[^ ]*\) vector .*/\1 \2/p' "/sys/kernel/debug/vtd/$(unit_of "$it")/interrupts" | head -n1)
	ktap_check "an interrupt of another device of its unit is refused" \
		refused "interrupt request 0x.* refused: .*reason 0x26\\), entry .* belongs to ${other#* }" \
		$INTERRUPT "$(address_of "${other% *}")" 0
else
	for what in "in compatibility format" "of another device of its unit"; do
		ktap_skip "an interrupt $what is refused" "interrupts are not remapped by $(unit_of "$it")"
	done
fi
mark "requester $it end"
echo 1 > "$PCI/$it/reset"
ktap_check "no kernel warning" dmesg_is_clean
ktap_end
