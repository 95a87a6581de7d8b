// SPDX-License-Identifier: GPL-2.0
/*
 * load_nth MODULE STRIDE [steps] - load vtd again and again, with allocation 1,
 * 1 + STRIDE, 1 + 2 * STRIDE... failing, until a load completes without a failure.
 * vtd_failure is loaded and no driver is bound to a device. With "steps", MODULE
 * calls vtd_inject_calls, and any call of the kernel that can fail is made to fail.
 *
 * A refused load must leave nothing behind. A load that succeeds in spite of the
 * failure must serve every device, and is detached and removed again. A load refused
 * for lack of memory returns ENOMEM; any other failed step is reported in a line of
 * the log. Prints what was wrong, with "steps" the results of each function, and at
 * the end "failures=N refused=N survived=N"; the exit status is 1 if anything was wrong.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NTH	"/sys/kernel/debug/vtd_failure/load"
#define STEP	"/sys/kernel/debug/vtd_inject_calls/fail"
#define UNITS	"/sys/class/iommu"
#define MOST	5000
#define BAD	40	/* print at most this many failures */
#define NAMES	64
#define LONGEST	1024	/* bytes of a path */

/* The results of one function. */
static struct {
	char name[64];
	unsigned int refused, survived;
} functions[NAMES];

static const char *const ours[] = {
	"/sys/kernel/vtd", "/sys/kernel/debug/vtd", "/sys/module/vtd",
};

static char iomem[1 << 16];
static char failed[64];		/* the function that failed, if it is known */
static unsigned int bad, nth;

/* Print what was wrong, and continue. */
static void complain(const char *fmt, ...)
{
	va_list args;

	printf("%u%s%s: ", nth, *failed ? ", " : "", failed);
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

static void join(char path[LONGEST], const char *folder, const char *name)
{
	if (snprintf(path, LONGEST, "%s/%s", folder, name) >= LONGEST)
		die(name);
}

/* Calls f with the path of each entry of a folder, and returns how many there are. */
static int each_entry(const char *folder, void (*f)(const char *path))
{
	char path[LONGEST];
	struct dirent *entry;
	DIR *dir = opendir(folder);
	int count = 0;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		count++;
		join(path, folder, entry->d_name);
		f(path);
	}
	if (dir)
		closedir(dir);
	return count;
}

static void expect_no_unit(const char *path)
{
	complain("%s is left", path);
}

/* Nothing of a load that failed is left. */
static void expect_nothing(void)
{
	static char now[sizeof(iomem)];
	size_t i;

	for (i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (!access(ours[i], F_OK))
			complain("%s is left", ours[i]);
	each_entry(UNITS, expect_no_unit);
	read_file("/proc/iomem", now, sizeof(now));
	if (strcmp(now, iomem))
		complain("/proc/iomem has changed");
}

static void expect_strict(const char *device)
{
	char path[LONGEST], type[32];

	join(path, device, "iommu_group/type");
	if (!read_file(path, type, sizeof(type)) || strcmp(type, "DMA\n"))
		complain("loaded, but %s is not in a strict domain", device);
}

static void expect_devices(const char *unit)
{
	char path[LONGEST];

	join(path, unit, "devices");
	if (!each_entry(path, expect_strict))
		complain("loaded, but %s serves no device", unit);
}

/* Every unit has devices, and each of them is in a strict group. */
static void expect_service(void)
{
	if (!each_entry(UNITS, expect_devices))
		complain("loaded, but there is no unit");
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

/* The position in the log from which lines are read. */
static int log_begin(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || lseek(fd, 0, SEEK_END) < 0)
		die("/dev/kmsg");
	return fd;
}

/* Whether vtd has logged an error since then. */
static bool log_has_error(int fd)
{
	char record[8192];
	bool found = false;
	ssize_t len;

	while ((len = read(fd, record, sizeof(record) - 1)) > 0 || (len < 0 && errno == EPIPE)) {
		const char *text;

		record[len > 0 ? len : 0] = '\0';
		text = strchr(record, ';');
		found |= text && !strncmp(text, ";vtd: ", 6) && (atoi(record) & 7) <= 3;
	}
	close(fd);
	return found;
}

static void count(bool refused)
{
	int i;

	for (i = 0; i < NAMES - 1 && *functions[i].name; i++)
		if (!strcmp(functions[i].name, failed))
			break;
	snprintf(functions[i].name, sizeof(functions[i].name), "%s", failed);
	if (refused)
		functions[i].refused++;
	else
		functions[i].survived++;
}

/* One load, with failure nth. Returns whether the load reached it. */
static bool try(const char *module, const char *file, bool steps, unsigned int *refused)
{
	char text[128];
	int err, log = log_begin();
	unsigned int left;
	bool logged;

	snprintf(text, sizeof(text), "%u", nth);
	if (write_file(file, text))
		die(file);
	err = load(module);
	if (!read_file(file, text, sizeof(text)))
		die(file);
	*failed = '\0';
	if (sscanf(text, "%u %63s", &left, failed) < 1)
		die(file);
	logged = log_has_error(log);
	if (err && left)
		complain("refused with \"%s\", though nothing failed", strerror(err));
	if (err && !steps && err != ENOMEM)
		complain("refused with \"%s\"", strerror(err));
	if (err && steps && !logged)
		complain("refused with \"%s\", and no line of the log says why", strerror(err));
	if (err)
		expect_nothing();
	else
		unload();
	*refused += !!err;
	if (!left || err)
		count(err);
	return err || !left;
}

int main(int argc, char **argv)
{
	int i, stride = argc > 2 ? atoi(argv[2]) : 1;
	bool steps = argc > 3 && !strcmp(argv[3], "steps");
	unsigned int refused = 0, met = 0;

	if (argc < 2 || stride < 1) {
		fprintf(stderr, "usage: load_nth MODULE STRIDE [steps]\n");
		return 2;
	}
	read_file("/proc/iomem", iomem, sizeof(iomem));
	for (nth = 1; nth < MOST && bad < BAD; nth += stride, met++)
		if (!try(argv[1], steps ? STEP : NTH, steps, &refused))
			break;
	if (nth >= MOST)
		complain("too many loads: allocations still fail");
	for (i = 0; steps && i < NAMES && *functions[i].name; i++)
		printf("%s: refused %u, survived %u\n", functions[i].name,
		       functions[i].refused, functions[i].survived);
	printf("failures=%u refused=%u survived=%u\n", met, refused, met - refused);
	return bad ? 1 : 0;
}
