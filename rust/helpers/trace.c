// SPDX-License-Identifier: GPL-2.0
/* The trace events in trace.h. Only vtd.ko is linked with them. */
#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "trace.h"
