// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_bench - time the IOMMU driver of this machine, whichever it is.
 *
 * User space writes the name of a measurement to debugfs vtd_bench/run, with a
 * word for it where it takes one, and reads the same file: key=value lines.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "bench.h"

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

static DEFINE_MUTEX(lock);	/* protects report */
static char *report;
static struct dentry *root;

static int run(const char *name, const char *word)
{
	const struct measurement *m;
	struct seq_buf out;
	int err = -EINVAL;

	mutex_lock(&lock);
	seq_buf_init(&out, report, REPORT_BYTES);
	for (m = measurements; m->name; m++)
		if (!strcmp(m->name, name))
			err = m->run(&out, word);
	seq_buf_str(&out);
	mutex_unlock(&lock);
	return err;
}

static ssize_t run_write(struct file *file, const char __user *buf,
			 size_t count, loff_t *pos)
{
	char text[64], *word = text;
	ssize_t len;
	int err;

	len = simple_write_to_buffer(text, sizeof(text) - 1, pos, buf, count);
	if (len < 0)
		return len;
	text[len] = '\0';
	strim(text);
	strsep(&word, " ");
	err = run(text, word ?: "");
	return err ?: len;
}

static int run_show(struct seq_file *m, void *unused)
{
	mutex_lock(&lock);
	seq_puts(m, report);
	mutex_unlock(&lock);
	return 0;
}

static int run_open(struct inode *inode, struct file *file)
{
	return single_open_size(file, run_show, NULL, REPORT_BYTES);
}

static const struct file_operations run_fops = {
	.owner = THIS_MODULE,
	.open = run_open,
	.read = seq_read,
	.write = run_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static int __init vtd_bench_init(void)
{
	report = kvzalloc(REPORT_BYTES, GFP_KERNEL);
	if (!report)
		return -ENOMEM;
	root = debugfs_create_dir("vtd_bench", NULL);
	debugfs_create_file("run", 0600, root, NULL, &run_fops);
	return 0;
}

static void __exit vtd_bench_exit(void)
{
	debugfs_remove_recursive(root);
	hold_end();
	kvfree(report);
}

module_init(vtd_bench_init);
module_exit(vtd_bench_exit);
MODULE_DESCRIPTION("Time an IOMMU driver through the kernel's own interface");
MODULE_LICENSE("GPL");
