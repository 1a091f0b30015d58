/* Sys, the machine: log, information, power, randomness; and the shortest calls of all. */
#include "kernel/sys/sys_handlers.h"

#include "arch_user.h"
#include "kernel/core/initrd.h"
#include "kernel/core/kernel.h"
#include "kernel/core/log.h"
#include "kernel/mem/frame.h"
#include "kernel/time/timer.h"
#include "lib/format.h"

#include <string.h>

#define PRINT_BYTES_MAX 120u /* of one DEBUG_PRINT: bounds how long interrupts are off */

/* ---- Entries of their own ------------------------------------------------------------------ */

uint64_t sys_entry_nop(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                       uint64_t rax) {
    (void)a0, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)rax;
    return GMK_OK;
}

uint64_t sys_entry_time(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                        uint64_t a5, uint64_t rax) {
    (void)a0, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)rax;
    return time_now_ns();
}

uint64_t sys_entry_tls(uint64_t base, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                       uint64_t a5, uint64_t rax) {
    (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)rax;
    if (base >= GMK_USER_MAX)
        return (uint64_t)GMK_EINVAL;
    arch_user_tls(base);
    cpu_this()->current->tls = base;
    return GMK_OK;
}

/* ---- The machine ----------------------------------------------------------------------------- */

static char machine_text[sizeof(((gmk_system_info_t *)0)->machine)]; /* constant after boot */

struct object *system_root(void) {
    static struct object machine = {
        .lock = SPINLOCK_INIT(LOCK_OBJECT), .type = GMK_CAP_SYSTEM, .serial = 1};
    if (machine_text[0] == '\0')
        arch_features_text(machine_text, sizeof machine_text);
    return &machine;
}

/* What a terminal would act on is shown, not sent. */
static void make_printable(char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            text[i] = text[i] == '\t' ? ' ' : '?';
}

/* Up to the first line's end, as a line of the log under the unit's name. Returns the bytes taken. */
int64_t sys_debug_print(struct sys_call *call) {
    char text[PRINT_BYTES_MAX];
    size_t size = call->a[2] < sizeof text ? (size_t)call->a[2] : sizeof text;
    int status = sys_copy_in(text, call->a[1], size);
    if (status != GMK_OK || size == 0)
        return status;
    const char *end = memchr(text, '\n', size);
    size_t length = end != NULL ? (size_t)(end - text) : size;
    make_printable(text, length);
    klog_info(call->unit->name, "%.*s", (int)length, text);
    return (int64_t)(length + (end != NULL));
}

int64_t sys_system_info(struct sys_call *call) {
    gmk_system_info_t info = {.abi = GMK_ABI_VERSION, .cpus = cpu_count, .time_ns = time_now_ns()};
    struct frame_stats stats;
    frame_stats(&stats);
    info.frames_total = stats.total;
    info.frames_free = stats.free;
    size_t initrd_size;
    (void)initrd_bytes(&initrd_size);
    info.initrd_size = initrd_size;
    format_string(info.version, sizeof info.version, "%u.%u.%u",
                  GMK_VERSION_MAJOR(GMK_LIBRARY_VERSION), GMK_VERSION_MINOR(GMK_LIBRARY_VERSION),
                  GMK_VERSION_PATCH(GMK_LIBRARY_VERSION));
    memcpy(info.machine, machine_text, sizeof info.machine);
    return sys_copy_out(call->a[1], &info, sizeof info);
}

int64_t sys_system_random(struct sys_call *call) {
    (void)call;
    return (int64_t)(arch_random() >> 1);
}

/* ---- Power -------------------------------------------------------------------------------------- */

static _Atomic bool going; /* once */
static bool restarts;      /* written by who set `going` */
static int off_status;

/* Halting the engine waits for its tasks, so it needs a thread of the kernel. */
static void power(void *arg) {
    (void)arg;
    if (restarts)
        kernel_restart();
    kernel_shutdown(off_status);
}

int64_t sys_system_power(struct sys_call *call) {
    if (call->a[1] > 1)
        return GMK_EINVAL;
    if (!atomic_exchange_explicit(&going, true, memory_order_relaxed)) {
        restarts = call->a[1] == 1;
        off_status = (int)call->a[2];
        if (thread_start("power", 0, THREAD_PRIORITIES - 1, -1, power, NULL) == NULL) {
            atomic_store_explicit(&going, false, memory_order_relaxed);
            return GMK_ENOMEM;
        }
    }
    /* The caller stops on its way back to user mode. */
    return thread_user_suspend(call->thread, call->thread->object.serial);
}
