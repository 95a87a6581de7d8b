/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VTD_RUNFILE_H
#define VTD_RUNFILE_H

#include <linux/debugfs.h>
#include <linux/mutex.h>
#include <linux/seq_buf.h>
#include <linux/seq_file.h>

/*
 * A debugfs file through which user space runs things, one at a time: it writes what to
 * run, and reads the result from the same file.
 */
struct runfile {
	struct mutex lock;	/* held during a run; protects report */
	char *report;		/* a string of fewer than size bytes */
	size_t size;
	/* Does what the line requests, and writes the result to @out. */
	int (*run)(struct seq_buf *out, char *line);
};

static inline ssize_t runfile_write(struct file *file, const char __user *buf,
				    size_t count, loff_t *pos)
{
	struct runfile *f = ((struct seq_file *)file->private_data)->private;
	struct seq_buf out;
	char line[64];
	ssize_t len;
	int err;

	len = simple_write_to_buffer(line, sizeof(line) - 1, pos, buf, count);
	if (len < 0)
		return len;
	line[len] = '\0';

	mutex_lock(&f->lock);
	seq_buf_init(&out, f->report, f->size);
	err = f->run(&out, strim(line));
	seq_buf_str(&out);
	mutex_unlock(&f->lock);
	return err ?: len;
}

static inline int runfile_show(struct seq_file *m, void *unused)
{
	struct runfile *f = m->private;

	mutex_lock(&f->lock);
	seq_puts(m, f->report);
	mutex_unlock(&f->lock);
	return 0;
}

static inline int runfile_open(struct inode *inode, struct file *file)
{
	struct runfile *f = inode->i_private;

	return single_open_size(file, runfile_show, f, f->size);
}

static const struct file_operations runfile_fops = {
	.owner = THIS_MODULE,
	.open = runfile_open,
	.read = seq_read,
	.write = runfile_write,
	.llseek = seq_lseek,
	.release = single_release,
};

/* Defines a file that is ready before it is added: a driver's probe may take its lock. */
#define DEFINE_RUNFILE(name, report_, run_)				\
	static struct runfile name = {					\
		.lock = __MUTEX_INITIALIZER(name.lock),			\
		.report = report_,					\
		.size = sizeof(report_),				\
		.run = run_,						\
	}

/* Makes the file "run" in @dir. */
static inline void runfile_add(struct runfile *f, struct dentry *dir)
{
	debugfs_create_file("run", 0600, dir, f, &runfile_fops);
}

#endif /* VTD_RUNFILE_H */
