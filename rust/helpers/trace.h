/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The trace events of vtd.ko. Documentation/trace-events.rst describes their fields, which are an
 * interface: Documentation/ABI/testing/tracefs-events-vtd.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vtd

#if !defined(_VTD_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _VTD_TRACE_H

#include <linux/device.h>
#include <linux/tracepoint.h>
#include "helpers.h"

#define vtd_show_attached_to(value)					\
	__print_symbolic(value,						\
			 { VTD_ATTACHED_BLOCKED, "blocked" },		\
			 { VTD_ATTACHED_IDENTITY, "identity" },		\
			 { VTD_ATTACHED_DMA, "DMA" },			\
			 { VTD_ATTACHED_UNMANAGED, "unmanaged" })

/* A unit refused a request; @dev is NULL if no device of the driver has the requester ID. */
TRACE_EVENT(fault,
	TP_PROTO(struct device *dev, const struct vtd_fault_event *event),
	TP_ARGS(dev, event),
	TP_STRUCT__entry(
		__field(u32, unit)
		__field(u16, segment)
		__field(u16, source)
		__string(device, dev ? dev_name(dev) : "none")
		__field(u8, request)
		__field(u8, reason)
		__field(u64, address)
		__field(s32, pasid)
		__field(u64, domain)
		__field(u16, domain_id)
	),
	TP_fast_assign(
		__entry->unit = event->unit;
		__entry->segment = event->segment;
		__entry->source = event->source;
		__assign_str(device);
		__entry->request = event->request;
		__entry->reason = event->reason;
		__entry->address = event->address;
		__entry->pasid = event->pasid;
		__entry->domain = event->domain;
		__entry->domain_id = event->domain_id;
	),
	TP_printk("unit=dmar%u requester=%04x:%02x:%02x.%x device=%s request=%s address=0x%llx reason=0x%02x pasid=%d domain=%llu domain_id=%u",
		  __entry->unit, __entry->segment, __entry->source >> 8,
		  (__entry->source >> 3) & 0x1f, __entry->source & 7, __get_str(device),
		  __print_symbolic(__entry->request,
				   { VTD_REQUEST_READ, "read" },
				   { VTD_REQUEST_WRITE, "write" },
				   { VTD_REQUEST_EXECUTE, "execute" },
				   { VTD_REQUEST_ATOMIC, "atomic" },
				   { VTD_REQUEST_PAGE, "page-request" },
				   { VTD_REQUEST_INTERRUPT, "interrupt" },
				   { VTD_REQUEST_COMPATIBLE, "compatibility-interrupt" }),
		  __entry->address, __entry->reason, __entry->pasid, __entry->domain,
		  __entry->domain_id)
);

/* The entries of a device were changed: it reaches something else from now on. */
TRACE_EVENT(attach,
	TP_PROTO(struct device *dev, const struct vtd_attach_event *event),
	TP_ARGS(dev, event),
	TP_STRUCT__entry(
		__field(u32, unit)
		__string(device, dev_name(dev))
		__field(s32, group)
		__field(u8, from)
		__field(u8, to)
		__field(u64, domain)
		__field(u16, domain_id)
	),
	TP_fast_assign(
		__entry->unit = event->unit;
		__assign_str(device);
		__entry->group = event->group;
		__entry->from = event->from;
		__entry->to = event->to;
		__entry->domain = event->domain;
		__entry->domain_id = event->domain_id;
	),
	TP_printk("unit=dmar%u device=%s group=%d from=%s to=%s domain=%llu domain_id=%u",
		  __entry->unit, __get_str(device), __entry->group,
		  vtd_show_attached_to(__entry->from), vtd_show_attached_to(__entry->to),
		  __entry->domain, __entry->domain_id)
);

/* An attach was refused, and changed nothing. */
TRACE_EVENT(refuse,
	TP_PROTO(struct device *dev, const struct vtd_refuse_event *event),
	TP_ARGS(dev, event),
	TP_STRUCT__entry(
		__field(u32, unit)
		__string(device, dev_name(dev))
		__field(u8, from)
		__field(u8, to)
		__field(u8, why)
		__field(s32, error)
	),
	TP_fast_assign(
		__entry->unit = event->unit;
		__assign_str(device);
		__entry->from = event->from;
		__entry->to = event->to;
		__entry->why = event->why;
		__entry->error = event->error;
	),
	TP_printk("unit=dmar%u device=%s from=%s to=%s why=%s error=%d",
		  __entry->unit, __get_str(device), vtd_show_attached_to(__entry->from),
		  vtd_show_attached_to(__entry->to),
		  __print_symbolic(__entry->why,
				   { VTD_REFUSED_NEIGHBOUR, "untranslated-neighbour" },
				   { VTD_REFUSED_RESERVED, "reserved-memory" },
				   { VTD_REFUSED_OWNER, "owner" },
				   { VTD_REFUSED_TABLES, "tables" },
				   { VTD_REFUSED_DOMAIN_ID, "domain-id" },
				   { VTD_REFUSED_UNIT, "unit" }),
		  __entry->error)
);

/* A cache of a unit is being invalidated. In the order of the unit's queue: its lock is held. */
TRACE_EVENT(invalidate,
	TP_PROTO(const struct vtd_invalidate_event *event),
	TP_ARGS(event),
	TP_STRUCT__entry(
		__field(u32, unit)
		__field(u8, cache)
		__field(u8, scope)
		__field(u16, domain_id)
		__field(u16, source)
		__field(u32, pasid)
		__field(u64, first)
		__field(u8, order)
		__field(bool, leaves_only)
		__field(bool, by_register)
	),
	TP_fast_assign(
		__entry->unit = event->unit;
		__entry->cache = event->cache;
		__entry->scope = event->scope;
		__entry->domain_id = event->domain_id;
		__entry->source = event->source;
		__entry->pasid = event->pasid;
		__entry->first = event->first;
		__entry->order = event->order;
		__entry->leaves_only = event->leaves_only;
		__entry->by_register = event->by_register;
	),
	TP_printk("unit=dmar%u cache=%s scope=%s domain_id=%u source=%02x:%02x.%x pasid=%u first=0x%llx order=%u leaves_only=%d by_register=%d",
		  __entry->unit,
		  __print_symbolic(__entry->cache,
				   { VTD_CACHE_CONTEXT, "context" },
				   { VTD_CACHE_IOTLB, "iotlb" },
				   { VTD_CACHE_INTERRUPT, "interrupt" },
				   { VTD_CACHE_DEVICE_TLB, "device-tlb" },
				   { VTD_CACHE_PASID, "pasid" },
				   { VTD_CACHE_PASID_IOTLB, "pasid-iotlb" }),
		  __print_symbolic(__entry->scope,
				   { VTD_SCOPE_GLOBAL, "global" },
				   { VTD_SCOPE_DOMAIN, "domain" },
				   { VTD_SCOPE_SELECTIVE, "selective" },
				   { VTD_SCOPE_PASID, "pasid" }),
		  __entry->domain_id, __entry->source >> 8, (__entry->source >> 3) & 0x1f,
		  __entry->source & 7, __entry->pasid, __entry->first, __entry->order,
		  __entry->leaves_only, __entry->by_register)
);

#endif

/* This part must be outside of the protection. */
#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
