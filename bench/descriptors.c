// SPDX-License-Identifier: GPL-2.0
/*
 * The same works for QEMU's trace of the unit to count: between two marks, which
 * are writes to a word of iommu-testdev's configuration space that nothing
 * implements, there are the round trips of one work and no attach.
 */
#include "bench.h"

#define MARK_VENDOR	0x1b36
#define MARK_DEVICE	0x0005
#define MARK_OFFSET	0xf0
#define ROUNDS		16

static int play(struct ground *g, const struct work *w, struct pci_dev *marker,
		int first)
{
	unsigned int round;
	int err = work_surround(g, w);

	pci_write_config_dword(marker, MARK_OFFSET, first);
	for (round = 0; !err && round < ROUNDS; round++) {
		err = work_map(g, w, round);
		if (!err && work_unmap(g, w, round) != w->size)
			err = -EIO;
	}
	pci_write_config_dword(marker, MARK_OFFSET, first + 1);
	work_clear(g, w);
	return err;
}

int count_descriptors(struct seq_buf *out, const char *unused)
{
	struct pci_dev *marker = pci_get_device(MARK_VENDOR, MARK_DEVICE, NULL);
	const struct work *w;
	struct ground g;
	int mark = 1000, err = 0;

	if (!marker)
		return -ENODEV;
	for (w = works; !err && w->name; w++, mark += 2) {
		err = ground_open(&g, true);
		if (err)
			break;
		err = play(&g, w, marker, mark);
		ground_close(&g);
		seq_buf_printf(out, "descriptors work=%s mark=%d rounds=%d\n",
			       w->name, mark, ROUNDS);
	}
	pci_dev_put(marker);
	return err;
}
