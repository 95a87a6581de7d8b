// SPDX-License-Identifier: GPL-2.0
/*
 * The version in modinfo and in /sys/module/vtd/version. The module! macro of 7.2 and 7.3 has
 * none. Only vtd.ko is linked with it.
 */
#include <linux/module.h>

MODULE_VERSION("0.1.0");
