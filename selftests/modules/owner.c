// SPDX-License-Identifier: GPL-2.0
/*
 * vtd_owner - make the requests of users of groups to the IOMMU core from user space, one
 * request per write to debugfs vtd_owner/do. The write fails with the core's own error.
 * BDF names a device, with a driver or without; SLOT is one of the letters a to h, a place
 * for a domain.
 *
 *	claim BDF OWNER		OWNER (a letter) becomes the DMA owner of its group
 *	release BDF
 *	new SLOT BDF		a paging domain allocated for the device
 *	newfd SLOT BDF		a paging domain that claims to be iommufd's
 *	free SLOT
 *	current SLOT BDF	the domain that its group has now
 *	blocked SLOT BDF	the driver's blocked domain
 *	identity SLOT BDF	the driver's identity domain
 *	map SLOT IOVA PHYS SIZE	for read and write; map-read and map-write for one
 *	attach SLOT BDF		to the whole group, through the core
 *	detach SLOT BDF
 *	capable BDF		what its driver reports of the capabilities
 *	force SLOT BDF OLD	to the device alone, bypassing the core and its records:
 *				OLD is the slot of the domain it has
 *
 * Reading the file shows the geometry of the last allocated domain, the last reported
 * capabilities, and whether the kernel is tainted by a choice of its user or by a
 * workaround for firmware.
 */
#include <linux/debugfs.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/seq_file.h>
#include <linux/string.h>

#define LETTERS	8
#define WORDS	5

static struct iommu_domain *slots[LETTERS];
static bool ours[LETTERS];	/* to be freed by us */
static char owners[LETTERS];	/* only their addresses matter */
static struct iommu_domain *last;
static bool answers[6];		/* in the order of capabilities[] */
static bool answered;
static DEFINE_MUTEX(lock);	/* one request at a time; protects all of the above */
static struct dentry *root;

/* The capabilities that the core's consumers query. */
static const struct {
	const char *name;
	enum iommu_cap cap;
} capabilities[ARRAY_SIZE(answers)] = {
	{ "cache-coherency", IOMMU_CAP_CACHE_COHERENCY },
	{ "noexec", IOMMU_CAP_NOEXEC },
	{ "pre-boot-protection", IOMMU_CAP_PRE_BOOT_PROTECTION },
	{ "enforce-cache-coherency", IOMMU_CAP_ENFORCE_CACHE_COHERENCY },
	{ "deferred-flush", IOMMU_CAP_DEFERRED_FLUSH },
	{ "dirty-tracking", IOMMU_CAP_DIRTY_TRACKING },
};

static int ask_capable(struct device *dev)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(capabilities); i++)
		answers[i] = device_iommu_capable(dev, capabilities[i].cap);
	answered = true;
	return 0;
}

static int letter(const char *word)
{
	if (word[0] < 'a' || word[0] >= 'a' + LETTERS || word[1])
		return -EINVAL;
	return word[0] - 'a';
}

static struct iommu_domain *in_slot(const char *word)
{
	int i = letter(word);

	return i < 0 ? NULL : slots[i];
}

static int put_in_slot(const char *word, struct iommu_domain *domain, bool own)
{
	int i = letter(word);

	if (i < 0 || slots[i])
		return -EINVAL;
	if (IS_ERR_OR_NULL(domain))
		return domain ? PTR_ERR(domain) : -ENODEV;
	slots[i] = domain;
	ours[i] = own;
	last = domain;
	return 0;
}

static int empty_slot(const char *word)
{
	int i = letter(word);

	if (i < 0 || !slots[i])
		return -EINVAL;
	if (last == slots[i])
		last = NULL;
	if (ours[i])
		iommu_domain_free(slots[i]);
	slots[i] = NULL;
	return 0;
}

static struct pci_dev *device(const char *bdf)
{
	unsigned int segment, bus, slot, function;

	if (sscanf(bdf, "%x:%x:%x.%x", &segment, &bus, &slot, &function) != 4)
		return NULL;
	return pci_get_domain_bus_and_slot(segment, bus, PCI_DEVFN(slot, function));
}

static int with_group(struct device *dev, struct iommu_domain *domain, bool attach)
{
	struct iommu_group *group = iommu_group_get(dev);
	int err = 0;

	if (!group || !domain)
		err = -EINVAL;
	else if (attach)
		err = iommu_attach_group(domain, group);
	else
		iommu_detach_group(domain, group);
	iommu_group_put(group);
	return err;
}

struct forced {
	struct device *dev;
	struct iommu_domain *domain, *old;
};

static int force_one(struct device *dev, void *data)
{
	struct forced *f = data;

	return dev == f->dev ? f->domain->ops->attach_dev(f->domain, dev, f->old) : 0;
}

/* Bypassing the core's records, but with the group's mutex, as the core attaches. */
static int force(struct device *dev, struct iommu_domain *domain, struct iommu_domain *old)
{
	struct forced f = { .dev = dev, .domain = domain, .old = old };
	struct iommu_group *group = iommu_group_get(dev);
	int err = group ? iommu_group_for_each_dev(group, &f, force_one) : -EINVAL;

	iommu_group_put(group);
	return err;
}

/* A request about a device. */
static int ask_of(struct device *dev, int words, char **word)
{
	const struct iommu_ops *ops = dev->iommu ? dev->iommu->iommu_dev->ops : NULL;
	struct iommu_domain *domain = in_slot(word[1]);

	if (!strcmp(word[0], "release")) {
		iommu_device_release_dma_owner(dev);
		return 0;
	}
	if (!ops)
		return -ENODEV;
	if (!strcmp(word[0], "capable"))
		return ask_capable(dev);
	if (!strcmp(word[0], "claim")) {
		int owner = words > 2 ? letter(word[2]) : -EINVAL;

		return owner < 0 ? owner : iommu_device_claim_dma_owner(dev, &owners[owner]);
	}
	if (!strcmp(word[0], "new"))
		return put_in_slot(word[1], iommu_paging_domain_alloc(dev), true);
	if (!strcmp(word[0], "newfd")) {
		domain = iommu_paging_domain_alloc(dev);
		if (!IS_ERR(domain))
			domain->cookie_type = IOMMU_COOKIE_IOMMUFD;
		return put_in_slot(word[1], domain, true);
	}
	if (!strcmp(word[0], "current"))
		return put_in_slot(word[1], iommu_get_domain_for_dev(dev), false);
	if (!strcmp(word[0], "blocked"))
		return put_in_slot(word[1], ops->blocked_domain, false);
	if (!strcmp(word[0], "identity"))
		return put_in_slot(word[1], ops->identity_domain, false);
	if (!strcmp(word[0], "attach"))
		return with_group(dev, domain, true);
	if (!strcmp(word[0], "detach"))
		return with_group(dev, domain, false);
	if (!strcmp(word[0], "force") && words > 3 && domain && in_slot(word[3]))
		return force(dev, domain, in_slot(word[3]));
	return -EINVAL;
}

static int ask_map(struct iommu_domain *domain, char **word, int prot)
{
	u64 iova, phys, size;

	if (!domain || kstrtou64(word[2], 0, &iova) || kstrtou64(word[3], 0, &phys) ||
	    kstrtou64(word[4], 0, &size))
		return -EINVAL;
	return iommu_map(domain, iova, phys, size, prot, GFP_KERNEL);
}

static int ask(char *request)
{
	char *word[WORDS] = { };
	struct pci_dev *pdev;
	int err, words;

	for (words = 0; words < WORDS && request; words++)
		word[words] = strsep(&request, " ");
	if (words < 2)
		return -EINVAL;
	if (!strcmp(word[0], "free"))
		return empty_slot(word[1]);
	if (!strncmp(word[0], "map", 3)) {
		int prot = !strcmp(word[0], "map") ? IOMMU_READ | IOMMU_WRITE :
			   !strcmp(word[0], "map-read") ? IOMMU_READ :
			   !strcmp(word[0], "map-write") ? IOMMU_WRITE : 0;

		return words == WORDS && prot ? ask_map(in_slot(word[1]), word, prot) : -EINVAL;
	}
	/* A claim has its owner last; other requests have the slot before the device. */
	pdev = device(strchr(word[1], ':') ? word[1] : words > 2 ? word[2] : "");
	if (!pdev)
		return -ENODEV;
	err = ask_of(&pdev->dev, words, word);
	pci_dev_put(pdev);
	return err;
}

static ssize_t do_write(struct file *file, const char __user *buf, size_t count,
			loff_t *pos)
{
	char request[128];
	ssize_t len;
	int err;

	len = simple_write_to_buffer(request, sizeof(request) - 1, pos, buf, count);
	if (len < 0)
		return len;
	request[len] = '\0';
	mutex_lock(&lock);
	err = ask(strim(request));
	mutex_unlock(&lock);
	return err ?: len;
}

static int do_show(struct seq_file *m, void *unused)
{
	int i;

	mutex_lock(&lock);
	if (last)
		seq_printf(m, "last=%#llx force=%d pages=%#lx\n", (u64)last->geometry.aperture_end,
			   last->geometry.force_aperture, last->pgsize_bitmap);
	for (i = 0; answered && i < ARRAY_SIZE(capabilities); i++)
		seq_printf(m, "%s=%d\n", capabilities[i].name, answers[i]);
	seq_printf(m, "user-taint=%d\n", test_taint(TAINT_USER));
	seq_printf(m, "firmware-taint=%d\n", test_taint(TAINT_FIRMWARE_WORKAROUND));
	mutex_unlock(&lock);
	return 0;
}
DEFINE_SHOW_STORE_ATTRIBUTE(do);

static int __init vtd_owner_init(void)
{
	root = debugfs_create_dir("vtd_owner", NULL);
	debugfs_create_file("do", 0600, root, NULL, &do_fops);
	return 0;
}

static void __exit vtd_owner_exit(void)
{
	int i;

	debugfs_remove_recursive(root);
	for (i = 0; i < LETTERS; i++)
		if (slots[i] && ours[i])
			iommu_domain_free(slots[i]);
}

module_init(vtd_owner_init);
module_exit(vtd_owner_exit);
MODULE_DESCRIPTION("Make the requests of users of groups to the IOMMU core");
MODULE_LICENSE("GPL");
