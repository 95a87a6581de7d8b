// SPDX-License-Identifier: GPL-2.0
/* Where a PCI device's functions are in its class, and its configuration space in its object. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/uio.h>

#include "layout.h"
#include "qemu.h"
#include "requester.h"

#define COMPARED 256		/* bytes of configuration space */

static void **class_of(const char *name)
{
	void **class = qemu.object_class_by_name(name);

	if (!class)
		unfit("QEMU has no class %s", name);
	return class;
}

static bool has_function(const char *name, size_t index)
{
	void **class = class_of(name);

	return is_code(class[index]) && !class_of("pci-device")[index];
}

void **pci_function(void **class, const char *what, const char *const with[2],
		    const char *const without[2])
{
	void **found = NULL;

	for (size_t i = 0; i < words_of(class_of("pci-device")); i++) {
		if (!has_function(with[0], i) || !has_function(with[1], i) ||
		    has_function(without[0], i) || has_function(without[1], i))
			continue;
		if (found)
			unfit("the class of a PCI device has more than one function like %s", what);
		found = &class[i];
	}
	if (!found)
		unfit("the class of a PCI device has no function like %s", what);
	return found;
}

/* Whether a word, which may be no address at all, leads to what QEMU reads as configuration. */
static bool is_config(void *word, void *device)
{
	uint32_t bytes[COMPARED / sizeof(uint32_t)];
	struct iovec local = { bytes, sizeof(bytes) }, remote = { word, sizeof(bytes) };

	if (!word || (uintptr_t)word % sizeof(void *) ||
	    process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != sizeof(bytes))
		return false;
	for (uint32_t i = 0; i < COMPARED / sizeof(uint32_t); i++)
		if (bytes[i] != qemu.pci_default_read_config(device, i * 4, 4))
			return false;
	return true;
}

uint8_t *pci_config(void *device)
{
	void **words = device;
	uint8_t *found = NULL;

	for (size_t i = 0; i < words_of(device); i++) {
		if (words[i] == found || !is_config(words[i], device))
			continue;
		if (found)
			unfit("a PCI device has more than one configuration space");
		found = words[i];
	}
	if (!found)
		unfit("a PCI device has no configuration space");
	*found ^= 1;
	if (!is_config(found, device))
		unfit("what was found as a configuration space is a copy of it");
	*found ^= 1;
	return found;
}
