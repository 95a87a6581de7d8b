// SPDX-License-Identifier: GPL-2.0
/* The translations that a requester keeps: its device-TLB. */
#include <string.h>

#include "requester.h"

static void count(struct requester *requester)
{
	uint64_t kept = 0;

	for (size_t i = 0; i < KEPT; i++)
		kept += requester->kept[i].permissions != 0;
	requester->registers[R_KEPT] = kept;
}

const struct translation *kept_find(const struct requester *requester, uint32_t pasid,
				    uint64_t address)
{
	for (size_t i = 0; i < KEPT; i++) {
		const struct translation *kept = &requester->kept[i];

		if (kept->permissions && kept->pasid == pasid &&
		    kept->address == (address & ~kept->mask))
			return kept;
	}
	return NULL;
}

void kept_add(struct requester *requester, const struct translation *translation)
{
	struct invalidation same = { translation->pasid, translation->address, translation->mask };

	kept_invalidate(requester, &same);
	requester->kept[requester->next_kept++ % KEPT] = *translation;
	count(requester);
}

void kept_invalidate(struct requester *requester, const struct invalidation *invalidation)
{
	for (size_t i = 0; i < KEPT; i++) {
		struct translation *kept = &requester->kept[i];
		uint64_t both = kept->mask | invalidation->mask;

		if (kept->pasid == invalidation->pasid &&
		    (kept->address & ~both) == (invalidation->address & ~both))
			kept->permissions = 0;
	}
	count(requester);
}

void kept_clear(struct requester *requester)
{
	memset(requester->kept, 0, sizeof(requester->kept));
	count(requester);
}
