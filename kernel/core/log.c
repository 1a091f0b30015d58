/* Kernel log: lines made by the engine's log, kept in memory, and sent to the consoles.
 *
 * There is one log. klog() uses the engine's line maker (engine/log.c: time, level, module, no
 * control bytes, one newline), which builds the line on the stack and hands it over in one piece
 * to hal_log_write(), which is klog_write(). So kernel, engine and modules share one format and
 * one level.
 *
 * Memory is a ring of bytes. A writer reserves its place with one addition and then copies: no
 * lock, so that an NMI in the middle of it takes the next place and disturbs nobody. A reader may
 * meet a place whose copy is still under way and then sees older bytes there; it is text for
 * people, nothing is decided by it. Likewise two writers meet when one is overtaken by a whole ring
 * of text. So bytes are relaxed atomics: they order nothing, and none is torn.
 *
 * Any context. Not here: who gets the screen, see console.c. */
#include "kernel/core/log.h"

#include <stdarg.h>
#include <stdatomic.h>

#include "engine/log.h"
#include "kernel/core/console.h"
#include "lib/format.h"

_Static_assert((KLOG_KEEP & (KLOG_KEEP - 1u)) == 0, "positions wrap by a mask");

static _Atomic char kept[KLOG_KEEP];
static _Atomic uint64_t kept_end; /* bytes ever reserved */

/* Copies into the ring at `position`. `length` <= KLOG_KEEP. */
static void keep_at(uint64_t position, const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        atomic_store_explicit(&kept[(position + i) % KLOG_KEEP], text[i], memory_order_relaxed);
}

void klog_write(const char *text, size_t length) {
    size_t cut = length > KLOG_KEEP ? length - KLOG_KEEP : 0; /* the last bytes win */
    /* Release pairs with the acquire in klog_tail(): earlier text is there when its end shows. */
    uint64_t at = atomic_fetch_add_explicit(&kept_end, length - cut, memory_order_release);
    keep_at(at, text + cut, length - cut);
    console_write(text, length);
}

void klog(enum gmk_log_level level, const char *module, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    log_line_v(level, module, fmt, args);
    va_end(args);
}

void klog_level(enum gmk_log_level level) {
    gmk_log_level(level);
}

void kprint(const char *fmt, ...) {
    char text[GMK_LOG_LINE_MAX];
    va_list args;
    va_start(args, fmt);
    size_t length = format_vstring(text, sizeof text, fmt, args);
    va_end(args);
    klog_write(text, length < sizeof text ? length : sizeof text - 1u);
}

size_t klog_tail(char *out, size_t size) {
    /* Acquire pairs with the release in klog_write(). */
    uint64_t end = atomic_load_explicit(&kept_end, memory_order_acquire);
    uint64_t count = end < KLOG_KEEP ? end : KLOG_KEEP;
    if (count > size)
        count = size;
    for (uint64_t i = 0; i < count; i++)
        out[i] = atomic_load_explicit(&kept[(end - count + i) % KLOG_KEEP], memory_order_relaxed);
    return (size_t)count;
}
