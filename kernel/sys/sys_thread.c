/* Sys, threads: handlers of the THREAD_ calls.
 *
 * Registers. They are stable while a thread is NEW or STOPPED, which its run queue's lock keeps it.
 * One that was suspended while it waits may be looked at too: its place and what it keeps do not
 * change, only its results are still to come. */
#include "kernel/sys/sys_handlers.h"

#include "kernel/ipc/notify.h"
#include "kernel/sched/runq.h"

static struct thread *thread_of(const struct sys_call *call) {
    char *at = (char *)call->cap[0].object - offsetof(struct thread, object);
    return (struct thread *)(void *)at;
}

static uint32_t serial_of(const struct sys_call *call) {
    return call->cap[0].serial;
}

/* ---- Making and ending ------------------------------------------------------------------ */

static int64_t start_detached(struct unit *unit, struct thread *thread) {
    unit_started(unit);
    uint32_t serial = thread->object.serial;
    int status = thread_user_start(thread, serial);
    if (status != GMK_OK)
        thread_user_end(thread, serial);
    return status;
}

int64_t sys_thread_create(struct sys_call *call) {
    gmk_thread_args_t args;
    struct unit *unit = (struct unit *)call->cap[0].object;
    struct thread *thread;
    if (thread_user_prepare())
        return SYS_AGAIN;
    int status = sys_copy_in(&args, call->a[1], sizeof args);
    if (status != GMK_OK)
        return status;
    bool starts = (args.flags & GMK_THREAD_START) != 0;
    bool detached = (args.flags & GMK_THREAD_DETACHED) != 0;
    if (args.reserved != 0 || (detached && !starts)) /* nobody could ever start it */
        return GMK_EINVAL;
    status = thread_user_new(unit, &args, &thread);
    if (status != GMK_OK)
        return status;
    if (detached)
        return start_detached(unit, thread);
    uint32_t serial = thread->object.serial;
    int64_t handle = sys_give(call, &thread->object);
    if (handle < 0 || !starts)
        return handle;
    unit_started(unit);
    (void)thread_user_start(thread, serial); /* fails when it is ended already: then it is that */
    return handle;
}

int64_t sys_thread_start(struct sys_call *call) {
    struct thread *thread = thread_of(call);
    if (!object_enter(&thread->object, serial_of(call)))
        return GMK_EHANDLE;
    struct unit *unit = thread->unit;
    object_leave(&thread->object);
    unit_started(unit);
    return thread_user_start(thread, serial_of(call));
}

int64_t sys_thread_suspend(struct sys_call *call) {
    return thread_user_suspend(thread_of(call), serial_of(call));
}

int64_t sys_thread_resume(struct sys_call *call) {
    return thread_user_resume(thread_of(call), serial_of(call));
}

int64_t sys_thread_kill(struct sys_call *call) {
    thread_user_kill(thread_of(call), serial_of(call), (int64_t)call->a[1]);
    return GMK_OK;
}

int64_t sys_exit(struct sys_call *call) {
    thread_user_exit((int64_t)call->a[0], call->a[1] != 0);
}

/* ---- Registers ---------------------------------------------------------------------------- */

static bool is_stable(const struct thread *thread, bool to_write) {
    if (thread->state == THREAD_NEW || thread->state == THREAD_STOPPED)
        return true;
    uint32_t special = atomic_load_explicit(&thread->special, memory_order_relaxed);
    return !to_write && thread->state == THREAD_BLOCKED && (special & SPECIAL_STOP) != 0;
}

static int with_registers(const struct sys_call *call, gmk_regs_t *regs, bool write) {
    struct thread *thread = thread_of(call);
    if (!object_enter(&thread->object, serial_of(call)))
        return GMK_EHANDLE;
    struct runq *rq = sched_lock_thread(thread);
    int status = is_stable(thread, write) ? GMK_OK : GMK_ESTATE;
    if (status == GMK_OK && write)
        status = arch_regs_set(thread, regs);
    else if (status == GMK_OK)
        arch_regs_get(thread, regs);
    sched_unlock(rq);
    object_leave(&thread->object);
    return status;
}

int64_t sys_thread_regs_get(struct sys_call *call) {
    gmk_regs_t regs;
    int status = with_registers(call, &regs, false);
    return status == GMK_OK ? sys_copy_out(call->a[1], &regs, sizeof regs) : status;
}

int64_t sys_thread_regs_set(struct sys_call *call) {
    gmk_regs_t regs;
    int status = sys_copy_in(&regs, call->a[1], sizeof regs);
    return status == GMK_OK ? with_registers(call, &regs, true) : status;
}

/* ---- The rest ------------------------------------------------------------------------------- */

int64_t sys_thread_sched(struct sys_call *call) {
    gmk_sched_args_t args;
    int status = sys_copy_in(&args, call->a[1], sizeof args);
    return status == GMK_OK ? thread_user_sched(thread_of(call), serial_of(call), &args) : status;
}

int64_t sys_thread_info(struct sys_call *call) {
    gmk_thread_info_t info;
    int status = thread_user_info(thread_of(call), serial_of(call), &info);
    return status == GMK_OK ? sys_copy_out(call->a[1], &info, sizeof info) : status;
}

int64_t sys_thread_watch(struct sys_call *call) {
    struct thread *thread = thread_of(call);
    const struct notify_ref ref = sys_notify_ref(&call->cap[1], call->a[2]);
    if (!object_enter(&thread->object, serial_of(call)))
        return GMK_EHANDLE;
    bool over = atomic_load_explicit(&thread->exited, memory_order_relaxed) != 0;
    if (!over) {
        thread->watcher = ref.notify;
        thread->watcher_serial = ref.serial;
        thread->watcher_bits = ref.bits;
    }
    object_leave(&thread->object);
    if (over)
        notify_signal(&ref);
    return GMK_OK;
}
