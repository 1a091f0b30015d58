/* Kernel log: one log for the kernel, the engine and modules, to every console there is.
 *
 * A line is formatted into a buffer of its own and handed over whole, so lines of different CPUs
 * never mix. The last KLOG_KEEP bytes are kept in memory for kdb and panics. Usable in any
 * context from the first instruction of C on, in an NMI too: memory is written without a lock, and
 * the wait for the consoles is bounded (console.h).
 *
 * The engine's own log (gmk_log) ends here through hal_log_write(). */
#pragma once

#include "arch/arch.h"
#include "ggmk/log.h"

#define KLOG_KEEP 16384u

/* One line "[    0.001234] info  mem: text", at most GMK_LOG_LINE_MAX bytes. */
void klog(enum gmk_log_level level, const char *module, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define klog_error(module, ...) klog(GMK_LOG_ERROR, module, __VA_ARGS__)
#define klog_warn(module, ...)  klog(GMK_LOG_WARN, module, __VA_ARGS__)
#define klog_info(module, ...)  klog(GMK_LOG_INFO, module, __VA_ARGS__)
#define klog_debug(module, ...) klog(GMK_LOG_DEBUG, module, __VA_ARGS__)

/* Lines above this level are dropped; INFO at boot. */
void klog_level(enum gmk_log_level level);

/* Raw text to every console and into memory: prompts, reports, and the engine's lines. */
void klog_write(const char *text, size_t length);
void kprint(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Copies the last bytes of the log; returns how many. */
size_t klog_tail(char *out, size_t size);
