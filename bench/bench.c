// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_bench - time the IOMMU driver of this machine, whichever it is.
 *
 * User space writes the name of a measurement to debugfs vtd_bench/run, with a
 * word for it where it takes one, and reads the same file: key=value lines.
 */
#include <linux/module.h>
#include <linux/slab.h>

#include "bench.h"
#include "runfile.h"

#define REPORT_BYTES	SZ_64K

static const struct measurement {
	const char *name;
	int (*run)(struct seq_buf *out, const char *word);
} measurements[] = {
	{ "instructions", measure_instructions },
	{ "profile", profile_instructions },
	{ "descriptors", count_descriptors },
	{ "dma", measure_dma },
	{ "hold", hold },
	{ "pages", count_pages },
	{ "window", set_window },
	{ "growth", measure_growth },
	{ "devices", measure_devices },
	{ }
};

static struct dentry *root;

static int run(struct seq_buf *out, char *line)
{
	const struct measurement *m;
	char *word = line;
	int err = -EINVAL;

	strsep(&word, " ");
	for (m = measurements; m->name; m++)
		if (!strcmp(m->name, line))
			err = m->run(out, word ?: "");
	return err;
}

static struct runfile file = {
	.lock = __MUTEX_INITIALIZER(file.lock),
	.size = REPORT_BYTES,
	.run = run,
};

static int __init vtd_bench_init(void)
{
	file.report = kvzalloc(REPORT_BYTES, GFP_KERNEL);
	if (!file.report)
		return -ENOMEM;
	root = debugfs_create_dir("vtd_bench", NULL);
	runfile_add(&file, root);
	return 0;
}

static void __exit vtd_bench_exit(void)
{
	debugfs_remove_recursive(root);
	hold_end();
	kvfree(file.report);
}

module_init(vtd_bench_init);
module_exit(vtd_bench_exit);
MODULE_DESCRIPTION("Time an IOMMU driver through the kernel's own interface");
MODULE_LICENSE("GPL");
