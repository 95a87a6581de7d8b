// SPDX-License-Identifier: GPL-2.0
/*
 * The module parameters ignore= and rmrr=. The module! macro of 7.2 and 7.3 has
 * no string parameters, so these are defined in C. Only vtd.ko is linked with them.
 */
#include <linux/module.h>
#include "helpers.h"

static char ignore[256];
module_param_string(ignore, ignore, sizeof(ignore), 0);
MODULE_PARM_DESC(ignore, "units to leave out, separated by commas: addresses of their registers (0xfed90000), or graphics");

static char rmrr[256];
module_param_string(rmrr, rmrr, sizeof(rmrr), 0);
MODULE_PARM_DESC(rmrr, "devices that users may have although firmware reserves memory for them, separated by commas: relax:0000:03:00.0");

const char *vtd_helper_ignore_parameter(void)
{
	return ignore;
}

const char *vtd_helper_rmrr_parameter(void)
{
	return rmrr;
}
