/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VTD_NTH_H
#define VTD_NTH_H

#include <linux/sched.h>

/*
 * Makes the @nth allocation of this task from here on fail, on a kernel with fault
 * injection; allocations of other tasks do not.
 */
static inline void nth_arm(unsigned int nth)
{
#ifdef CONFIG_FAULT_INJECTION
	WRITE_ONCE(current->fail_nth, nth);
#endif
}

/* Ends that: 0 if an allocation failed, or how many more it would have taken. */
static inline unsigned int nth_disarm(void)
{
	unsigned int left = 1;
#ifdef CONFIG_FAULT_INJECTION

	left = READ_ONCE(current->fail_nth);
	WRITE_ONCE(current->fail_nth, 0);
#endif
	return left;
}

#endif /* VTD_NTH_H */
