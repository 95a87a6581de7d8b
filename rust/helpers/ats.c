// SPDX-License-Identifier: GPL-2.0
/* See helpers.h: what a device requests and keeps of translations (ATS). */
#include <linux/pci-ats.h>
#include "helpers.h"

#ifdef CONFIG_PCI_ATS
u16 vtd_helper_pci_ats_cap(struct pci_dev *pdev)
{
	return pdev->ats_cap;
}

u8 vtd_helper_pci_ats_stu(struct pci_dev *pdev)
{
	return READ_ONCE(pdev->ats_stu);
}

bool vtd_helper_pci_ats_enabled(struct pci_dev *pdev)
{
	/* Other bits of this word change at any time. */
	return data_race((bool)pdev->ats_enabled);
}
#else
u16 vtd_helper_pci_ats_cap(struct pci_dev *pdev)
{
	return 0;
}

u8 vtd_helper_pci_ats_stu(struct pci_dev *pdev)
{
	return 0;
}

bool vtd_helper_pci_ats_enabled(struct pci_dev *pdev)
{
	return false;
}
#endif

bool vtd_helper_pci_ats_supported(struct pci_dev *pdev)
{
	return pci_ats_supported(pdev);
}

bool vtd_helper_pci_ats_required(struct pci_dev *pdev)
{
#ifdef VTD_HAS_PCI_ATS_REQUIRED
	return pci_ats_required(pdev);
#else
	/* As in 7.3, without its list of devices. */
	u16 dvsec, cap;

	pdev = pci_physfn(pdev);
	dvsec = pci_find_dvsec_capability(pdev, PCI_VENDOR_ID_CXL, PCI_DVSEC_CXL_DEVICE);
	return dvsec && !pci_read_config_word(pdev, dvsec + PCI_DVSEC_CXL_CAP, &cap) &&
	       cap & PCI_DVSEC_CXL_CACHE_CAPABLE;
#endif
}

int vtd_helper_pci_prepare_ats(struct pci_dev *pdev, int shift)
{
	return pci_prepare_ats(pdev, shift);
}

int vtd_helper_pci_enable_ats(struct pci_dev *pdev, int shift)
{
	return pci_enable_ats(pdev, shift);
}

void vtd_helper_pci_disable_ats(struct pci_dev *pdev)
{
	pci_disable_ats(pdev);
}

/* As pci_dev_is_disconnected(), which is private to the PCI core. */
bool vtd_helper_pci_is_gone(struct pci_dev *pdev)
{
	return READ_ONCE(pdev->error_state) == pci_channel_io_perm_failure;
}

/*
 * STU, the size of the translations that a device requests, has no effect while ATS is off, and a
 * reset clears it. pci_restore_state() restores it only while ATS is on, and pci_enable_ats()
 * writes it again.
 */
#define ATS_MARK 0xf

static bool has_ats_mark(struct pci_dev *pdev, bool without_answer)
{
	u16 control;

	if (pci_read_config_word(pdev, vtd_helper_pci_ats_cap(pdev) + PCI_ATS_CTRL, &control))
		return without_answer;
	return (control & ATS_MARK) == ATS_MARK;
}

bool vtd_helper_pci_set_ats_mark(struct pci_dev *pdev)
{
	u16 at = vtd_helper_pci_ats_cap(pdev);

	return at && !vtd_helper_pci_ats_enabled(pdev) &&
	       !pci_write_config_word(pdev, at + PCI_ATS_CTRL, ATS_MARK) &&
	       has_ats_mark(pdev, false);
}

bool vtd_helper_pci_has_ats_mark(struct pci_dev *pdev)
{
	return has_ats_mark(pdev, true);
}
