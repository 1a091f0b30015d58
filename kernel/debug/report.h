/* Report: parts of a report that panics and the monitor share. They follow no pointer that they
 * have not checked, take no lock, and may be called in any context. */
#pragma once

#include "arch/arch.h"

/* Where a report goes: kprint(), or the monitor's own. A line per call. */
typedef void (*report_fn)(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define REPORT_FRAMES_MAX 32u /* return addresses shown of one stack */
#define REPORT_EVENTS_MAX 64u /* trace events shown of one CPU */

/* The functions that led to a frame, or to the caller when NULL, and why the walk ended there. */
void report_backtrace(const struct arch_frame *frame, report_fn print);
/* The same for a thread that does not run. */
void report_backtrace_context(const struct arch_context *context, report_fn print);

/* The newest `count` (at most REPORT_EVENTS_MAX) trace events of this CPU's worker, oldest first.
 * While the worker goes on, the oldest of them may be garbled. */
void report_trace(unsigned cpu, unsigned count, report_fn print);
