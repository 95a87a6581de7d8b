// SPDX-License-Identifier: GPL-2.0
/*
 * The device type vtd-requester: what QEMU's own devices never send, sent on command. It is an
 * endpoint on PCI Express, of pcie.0 or below a port.
 */
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "qemu.h"
#include "requester.h"

#define TYPE "vtd-requester"
#define MODEL "ufs"
#define MAGIC 0x7165722d647476ull	/* "vtd-req" */
#define REGION 4096			/* more than a region's structure has */

enum { ID = 0x00, COMMAND = 0x04, CLASS = 0x0a, EXPRESS = 0x70, ATS_CONTROL = 6 };
enum { EXTENDED = 0x100, EXTENDED_SIZE = 0x10, PRI_OUTSTANDING = 64 };
enum { MASTER = 1 << 2 };

static struct requester requesters[REQUESTERS];
static void *functions[TABLE_COPIED];
static bool proving;
static unsigned int proved;

/* Registers that are written freely. COMMAND and MESSAGES do something when they are. */
static const uint32_t writable =
	1u << R_ADDRESS | 1u << R_VALUE | 1u << R_PASID | 1u << R_FLAGS | 1u << R_COUNT |
	1u << R_GROUP | 1u << R_ANSWERS | 1u << R_DELAY | 1u << R_TRANSLATED |
	1u << R_BLOCKED_TRANSLATED | 1u << R_BLOCKED_TRANSLATIONS | 1u << R_BLOCKED_INTERRUPTS |
	1u << R_COMMAND | 1u << R_MESSAGES | 1u << R_BLOCKED_PASIDS;

struct requester *requester_at(size_t index)
{
	return index < REQUESTERS ? &requesters[index] : NULL;
}

static struct requester *known(void *device)
{
	for (size_t i = 0; i < REQUESTERS; i++)
		if (requesters[i].device == device)
			return &requesters[i];
	return NULL;
}

static struct requester *requester_of(void *device)
{
	struct requester *requester = known(device);

	if (requester)
		return requester;
	requester = known(NULL);
	if (!requester)
		usage("there are at most %d vtd-requesters", REQUESTERS);
	*requester = (struct requester){
		.device = device, .vendor_id = 0x1b36, .device_id = 0x00f0, .class_id = 0x00ff,
		.pasid_bits = 20, .ats = true, .pri = true,
	};
	return requester;
}

static void reset(struct requester *requester)
{
	memset(requester->registers, 0, sizeof(requester->registers));
	requester->registers[R_MAGIC] = MAGIC;
	requester->registers[R_COUNT] = 1;
	requester->pendings = 0;
	requester->master = false;
	kept_clear(requester);
}

static void prove_config(struct requester *requester)
{
	proving = true;
	proved = 0;
	qemu.pci_host_config_write_common(requester->device, ID, PAGE_SIZE, 0, 4);
	proving = false;
	if (proved != 1)
		unfit("the function found as a PCI device's write_config is another one");
}

/* Configuration is accepted from the end of realize on, and a reset follows that. */
static void reset_device(void *device)
{
	struct requester *requester = known(device);

	if (!requester->proved)
		prove_config(requester);
	requester->proved = true;
	reset(requester);
	/* QEMU leaves the ATS control register as it is. */
	if (requester->ats)
		memset(&requester->config[EXTENDED + ATS_CONTROL], 0, 2);
}

static void write_config(void *device, uint32_t at, uint32_t value, int size)
{
	struct requester *requester = known(device);

	if (proving) {
		proved++;
		return;
	}
	qemu.pci_default_write_config(device, at, value, size);
	qemu.pcie_cap_flr_write_config(device, at, value, size);
	requester->master = requester->config[COMMAND] & MASTER;
	if (!qemu.pcie_ats_enabled(device))
		kept_clear(requester);
}

static uint64_t read_bar(void *data, uint64_t at, unsigned int size)
{
	struct requester *requester = data;
	const uint64_t *words = requester->registers;
	uint64_t value = 0;

	if (at >= R_LOG) {
		words = (const uint64_t *)requester->log;
		at -= R_LOG;
		if (at < sizeof(requester->log))
			value = words[at / 8];
	} else if (at < sizeof(requester->registers)) {
		value = words[at / 8];
	}
	value >>= at % 8 * 8;
	return size == 4 ? (uint32_t)value : value;
}

static void write_bar(void *data, uint64_t at, uint64_t value, unsigned int size)
{
	struct requester *requester = data;
	uint64_t mask = size == 4 ? 0xffffffffull << at % 8 * 8 : -1ull;
	uint64_t *word;

	if (at >= sizeof(requester->registers) || !(writable >> at / 8 & 1))
		return;
	word = &requester->registers[at / 8];
	value = (*word & ~mask) | (value << at % 8 * 8 & mask);
	if (at / 8 == R_ANSWERS && value > NEVER)
		return;
	*word = value;
	if (at == R_COMMAND * 8)
		request_run(requester, (enum command)value);
}

static void set_ids(struct requester *requester)
{
	uint16_t ids[] = { requester->vendor_id, requester->device_id };
	uint16_t class = requester->class_id;

	memcpy(&requester->config[ID], ids, sizeof(ids));
	memcpy(&requester->config[CLASS], &class, sizeof(class));
}

/* There is an extended capability at the start of their space, or none at all. */
static void add_capabilities(const struct requester *requester)
{
	void *device = requester->device;
	uint16_t at = EXTENDED;

	qemu.pcie_endpoint_cap_init(device, EXPRESS);
	qemu.pcie_cap_flr_init(device);
	if (requester->ats) {
		qemu.pcie_ats_init(device, at, true);
		at += EXTENDED_SIZE;
	}
	if (requester->pasid_bits) {
		qemu.pcie_pasid_init(device, at, (uint8_t)requester->pasid_bits, true, true);
		at += EXTENDED_SIZE;
	}
	if (requester->pri)
		qemu.pcie_pri_init(device, at, PRI_OUTSTANDING, true);
}

static void start(void *device, void **errp)
{
	struct requester *requester;
	void *unit, *region;

	if (strcmp(qemu.object_get_typename(device), TYPE))
		unfit("the function found as a PCI device's realize is another one");
	requester = requester_of(device);
	unit = scope_unit(device);
	if (!unit)
		usage("intel-iommu, the first unit, has to come before vtd-requester");
	requester->unit = unit_of(unit);
	add_capabilities(requester);
	requester->config = pci_config(device);
	set_ids(requester);
	registers_table(requester->unit, functions, read_bar, write_bar);
	region = aligned_alloc(64, REGION);
	if (!region)
		unfit("no memory for a region of registers");
	memset(region, 0, REGION);
	qemu.memory_region_init_io(region, device, functions, requester, TYPE, BAR_SIZE);
	qemu.pci_register_bar(device, 0, 0, region);
	reset(requester);
	request_init(requester);
}

/* The region is not freed: QEMU may still have it in use. */
static void leave(void *device)
{
	struct requester *requester = known(device);

	if (!requester)
		unfit("the function found as a PCI device's exit is another one");
	listener_remove_all(requester);
	requester->device = NULL;
}

static void set_vendor_id(void *device, const char *value, void **errp)
{
	requester_of(device)->vendor_id = parse_number("vendor-id", value, 0xffff);
}

static void set_device_id(void *device, const char *value, void **errp)
{
	requester_of(device)->device_id = parse_number("device-id", value, 0xffff);
}

static void set_class_id(void *device, const char *value, void **errp)
{
	requester_of(device)->class_id = parse_number("class-id", value, 0xffff);
}

static void set_pasid_bits(void *device, const char *value, void **errp)
{
	requester_of(device)->pasid_bits = parse_number("pasid-bits", value, 20);
}

static void set_ats(void *device, const char *value, void **errp)
{
	requester_of(device)->ats = parse_switch("ats", value);
}

static void set_pri(void *device, const char *value, void **errp)
{
	requester_of(device)->pri = parse_switch("pri", value);
}

#define PAIR(one, two) ((const char *const []){ one, two })

void requester_init(void)
{
	void **class = type_register(TYPE, "pci-device", MODEL, "pci-device");

	if (!qemu.object_class_dynamic_cast(class, "pci-express-device"))
		unfit("a copy of QEMU's record of the type %s makes no device on PCI Express",
		      MODEL);
	*pci_function(class, "realize", PAIR("edu", "mch"),
		      PAIR("pci-device", "pci-device")) = start;
	*pci_function(class, "exit", PAIR("edu", "ufs"), PAIR("iommu-testdev", "mch")) = leave;
	*pci_function(class, "write_config", PAIR("mch", "ICH9-LPC"),
		      PAIR("iommu-testdev", "edu")) = write_config;
	qemu.device_class_set_legacy_reset(class, reset_device);
	add_property(class, "vendor-id", "of its configuration space", set_vendor_id);
	add_property(class, "device-id", "of its configuration space", set_device_id);
	add_property(class, "class-id", "of its configuration space", set_class_id);
	add_property(class, "ats", "whether it has the capability ATS", set_ats);
	add_property(class, "pasid-bits", "of its capability PASID; 0: it has none",
		     set_pasid_bits);
	add_property(class, "pri", "whether it has the capability PRI", set_pri);
}
