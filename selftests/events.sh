#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The driver's own trace events say what its log, debugfs and QEMU's trace say; they can be enabled
# before the driver is loaded, and the driver can be unloaded while they are.
#
# Boots: ordinary*, pressed, without-queue, scalable, first-stage
. "$(dirname "$0")/lib/ktap.sh"
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/isolation.sh"
. "$(dirname "$0")/lib/tracing.sh"

EVENTS=$TRACING/events/vtd

[ -d $TRACING/events/iommu ] || ktap_skip_all "this kernel has no trace events"
edu=$(attackers | head -n1)
[ -n "$edu" ] || ktap_skip_all "neither edu nor iommu-testdev is there"

# fields EVENT: prints the names of its own fields, as user space finds them.
fields() {
	sed -n 's/^\tfield:\([^;]*\);.*/\1/p' "$EVENTS/$1/format" | awk '$NF !~ /^common_/ { print $NF }' | tr '\n' ' '
}

has_fields() {
	found=$(fields "$1")
	[ "$found" = "$2 " ] || { echo "the fields of $1 are $found"; return 1; }
}

# logged_domain: prints the domain of the last report of a fault, in the words of an event.
logged_domain() {
	log_since | sed -n "s/.*fault: device $edu .*domain #\([0-9]*\), domain-id \([0-9]*\) .*/domain=\1 domain_id=\2/p" |
		tail -n1
}

# listed_domain: the same of what debugfs says that the device is attached to.
listed_domain() {
	sed -n "s/.*device=$edu .*domain=#\([0-9]*\) domain-id=\([0-9]*\).*/domain=\1 domain_id=\2/p" \
		/sys/kernel/debug/vtd/groups
}

fault_agrees() {
	listen && attack "$edu" never-mapped && log_has "fault: device $edu " &&
		traces " fault: unit=$unit requester=$edu device=$edu request=write address=$(attack_word iova) reason=0x$(reason_of "$edu" write) pasid=-1 $(logged_domain)\$"
}

# attached FROM TO DOMAIN: the last event says so.
attached() {
	traces " attach: unit=$unit device=$edu group=$group from=$1 to=$2 $3\$"
}

driver_is_off() {
	echo "$edu" > "$PCI/$edu/driver/unbind"
}

no_domain="domain=0 domain_id=0"

ktap_start 20
# An earlier test may have loaded it in lazy mode.
{ need_no_vtd && need_vtd; } > /tmp/need 2>&1 || ktap_abort "the module does not load: $(cat /tmp/need)"
log_start
unit=$(unit_of "$edu")
group=$(group_of "$edu")
ktap_check "fault: its fields" has_fields fault \
	"unit segment source device request reason address pasid domain domain_id"
ktap_check "attach: its fields" has_fields attach "unit device group from to domain domain_id"
ktap_check "refuse: its fields" has_fields refuse "unit device from to why error"
ktap_check "invalidate: its fields" has_fields invalidate \
	"unit cache scope domain_id source pasid first order leaves_only by_register"
# An earlier test may have used up the device's lines in the log.
sleep 6
ktap_check "fault: as in the log" fault_agrees

mark "events invalidate begin"
ktap_check "a page is mapped, used, unmapped" eval 'listen && attack "$edu" allowed-write && attack "$edu" unmapped'
ktap_check "identity: of its driver's domain no device is left" eval 'driver_is_off && set_type "$edu" identity'
ktap_check "attach: from the domain of the DMA API to identity" attached DMA identity "$no_domain"
ktap_check "the DMA API again" set_type "$edu" DMA
ktap_check "attach: with the domain that debugfs has" attached identity DMA "$(listed_domain)"
echo 0 > $TRACING/tracing_on
mark "events invalidate end"
ktap_check "invalidate: pages, a domain, the entry of a device" eval 'grep -Eq "cache=(pasid-)?iotlb scope=selective" $TRACING/trace &&
	grep -q "cache=iotlb scope=domain" $TRACING/trace &&
	grep -q "cache=context scope=selective domain_id=[0-9]* source=${edu#*:} " $TRACING/trace'
sed -n 's/.* invalidate: //p' $TRACING/trace | while read -r words; do say "invalidated of=$edu $words"; done

load_owner
ktap_check "claimed: blocked" eval 'listen && ask new a "$edu" && ask claim "$edu" a && attached DMA blocked "$no_domain"'
ktap_check "a user's domain" eval 'ask attach a "$edu" && attached blocked unmanaged "$(listed_domain)"'
ask detach a "$edu"; ask release "$edu"
load_drivers
echo "$edu" > /sys/bus/pci/drivers/vtd_attack/bind 2> /dev/null
ask current d "$edu"
ask newfd e "$edu"
ktap_check "iommufd's domain for a driven device is refused" eval 'listen && refuses "$EBUSY" force e "$edu" d'
ktap_check "refuse: the device, the domains, the reason" \
	traces " refuse: unit=$unit device=$edu from=DMA to=unmanaged why=owner error=-16\$"
ktap_check "it was attached to nothing else" traces " attach: " 0
for slot in a e; do ask free $slot; done
rmmod vtd_owner

ktap_check "the driver is unloaded while the events are enabled" eval 'listen && need_no_vtd && [ ! -d $EVENTS ]'
ktap_check "events can be enabled before it is loaded" eval ': > $TRACING/trace && echo ":mod:vtd" > $TRACING/set_event'
ktap_check "the load is traced: the first attach of a device" \
	eval 'need_vtd && traces " attach: unit=$unit device=$edu group=[0-9]* from=blocked to=DMA $(listed_domain)\$"'
echo > $TRACING/set_event
ktap_check "no kernel warning" log_is_clean
ktap_end
