// SPDX-License-Identifier: GPL-2.0
/*
 * The module parameter ignore=. The module! macro of 7.2 and 7.3 has no string
 * parameters, so this one is defined in C. Only vtd.ko is linked with it.
 */
#include <linux/module.h>
#include "helpers.h"

static char ignore[256];
module_param_string(ignore, ignore, sizeof(ignore), 0);
MODULE_PARM_DESC(ignore, "units to leave out, separated by commas: addresses of their registers (0xfed90000), or graphics");

const char *vtd_helper_ignore_parameter(void)
{
	return ignore;
}
