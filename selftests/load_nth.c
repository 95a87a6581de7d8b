// SPDX-License-Identifier: GPL-2.0
/*
 * load_nth MODULE STRIDE - load vtd again and again, with allocation 1, 1 + STRIDE,
 * 1 + 2 * STRIDE... failing, until a load meets no failure any more. vtd_failure
 * is loaded and no driver is bound to a device.
 *
 * A refused load must say ENOMEM and leave nothing behind; one that went on all
 * the same must serve every device, and is detached and removed again. Prints
 * what did not hold and, at the end, "allocations=N refused=N survived=N"; the
 * exit status is 1 if anything did not hold.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NTH	"/sys/kernel/debug/vtd_failure/load"
#define UNITS	"/sys/class/iommu"
#define MOST	5000
#define BAD	20	/* after so many failures the rest is no news */

static const char *const ours[] = {
	UNITS "/dmar0", "/sys/kernel/vtd", "/sys/kernel/debug/vtd", "/sys/module/vtd",
};

static char iomem[1 << 16];
static unsigned int bad, nth;

/* Say what did not hold, and go on. */
static void complain(const char *fmt, ...)
{
	va_list args;

	printf("allocation %u: ", nth);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	bad++;
}

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(2);
}

static char *read_file(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t got;

	while (fd >= 0 && (got = read(fd, to + len, size - 1 - len)) > 0)
		len += got;
	to[len] = '\0';
	if (fd >= 0)
		close(fd);
	return fd >= 0 ? to : NULL;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t put;

	if (fd < 0)
		return -1;
	put = write(fd, text, strlen(text));
	close(fd);
	return put < 0 ? -1 : 0;
}

/* Nothing of a load that failed is left. */
static void expect_nothing(void)
{
	static char now[sizeof(iomem)];
	size_t i;

	for (i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (!access(ours[i], F_OK))
			complain("%s is left", ours[i]);
	read_file("/proc/iomem", now, sizeof(now));
	if (strcmp(now, iomem))
		complain("/proc/iomem is not what it was");
}

/* Every device behind the unit is in a strict group. */
static void expect_service(void)
{
	char path[512], type[32];
	struct dirent *entry;
	int devices = 0;
	DIR *dir;

	dir = opendir(UNITS "/dmar0/devices");
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		devices++;
		snprintf(path, sizeof(path), UNITS "/dmar0/devices/%s/iommu_group/type",
			 entry->d_name);
		if (!read_file(path, type, sizeof(type)) || strcmp(type, "DMA\n"))
			complain("loaded, but %s is not in a strict domain", entry->d_name);
	}
	if (dir)
		closedir(dir);
	if (!devices)
		complain("loaded, but no device is served");
}

static void unload(void)
{
	expect_service();
	if (write_file("/sys/kernel/vtd/detach", "1"))
		complain("the detach failed: %s", strerror(errno));
	if (syscall(SYS_delete_module, "vtd", O_NONBLOCK))
		complain("the removal failed: %s", strerror(errno));
}

static int load(const char *module)
{
	int err, fd = open(module, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die(module);
	err = syscall(SYS_finit_module, fd, "", 0) ? errno : 0;
	close(fd);
	return err;
}

int main(int argc, char **argv)
{
	unsigned int refused = 0, survived = 0;
	int err, stride = argc > 2 ? atoi(argv[2]) : 1;
	char left[32], text[32];

	if (argc < 2 || stride < 1) {
		fprintf(stderr, "usage: load_nth MODULE STRIDE\n");
		return 2;
	}
	read_file("/proc/iomem", iomem, sizeof(iomem));
	for (nth = 1; nth < MOST && bad < BAD; nth += stride) {
		snprintf(text, sizeof(text), "%u", nth);
		if (write_file(NTH, text))
			die(NTH);
		err = load(argv[1]);
		if (!read_file(NTH, left, sizeof(left)))
			die(NTH);
		if (err && err != ENOMEM)
			complain("refused with \"%s\"", strerror(err));
		if (err && strcmp(left, "0\n"))
			complain("refused, though nothing failed");
		if (err)
			expect_nothing();
		else
			unload();
		if (!err && strcmp(left, "0\n"))
			break;
		refused += !!err;
		survived += !err;
	}
	if (nth >= MOST)
		complain("there is no end");
	printf("allocations=%u refused=%u survived=%u\n", nth - 1, refused, survived);
	return bad ? 1 : 0;
}
