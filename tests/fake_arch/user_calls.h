/* User calls: what user threads of the scheduler's tests can do: system calls with the real scheduler behind
 * them, and the box of user_machine.h to wait in. Included after sched_machine.h. */
#pragma once

#include "tests/fake_arch/sched_machine.h"

struct who {
    struct thread *t;
    uint32_t serial;
};

static inline struct who user_new(unsigned priority, void (*entry)(uint64_t arg), uint64_t arg,
                                  unsigned flags) {
    gmk_thread_args_t args = {.name = "user",
                              .entry = (uint64_t)(uintptr_t)entry,
                              .stack = GMK_USER_MIN,
                              .arg = arg,
                              .priority = (uint16_t)priority,
                              .flags = (uint16_t)flags};
    struct who who = {NULL, 0};
    assert_int_equal(thread_user_new(&machine_unit, &args, &who.t), GMK_OK);
    who.serial = who.t->object.serial;
    return who;
}

static inline struct who user_spawn(unsigned priority, void (*entry)(uint64_t arg), uint64_t arg) {
    struct who who = user_new(priority, entry, arg, 0);
    assert_int_equal(thread_user_start(who.t, who.serial), GMK_OK);
    return who;
}

/* ---- Calls: call_x() in user mode, sys_x() in the kernel ------------------------------------- */

static inline uint64_t sys_yield(uint64_t a0, uint64_t a1) {
    return sched_sys_yield(a0, a1, 0, 0, 0, 0, 0);
}
static inline void call_yield(void) {
    assert_int_equal(machine_call(sys_yield, 0, 0), 0);
}
static inline void call_exit(int64_t status, bool whole) {
    (void)machine_call(machine_sys_exit, (uint64_t)status, whole);
}

/* Waits in the box; what the waker says. */
static inline uint64_t sys_wait(uint64_t a0, uint64_t a1) {
    (void)a0, (void)a1;
    (void)machine_box_enter();
    spin_unlock(&machine_box.lock, false);
    sched_block_user();
}
static inline int64_t call_wait(void) {
    return machine_call(sys_wait, 0, 0);
}

/* Wakes the first in the box; 1: there was one. */
static inline uint64_t sys_wake(uint64_t direct, uint64_t status) {
    struct cpu *cpu = cpu_this();
    (void)spin_lock(&machine_box.lock);
    struct thread *t = machine_box_take(NULL);
    spin_unlock(&machine_box.lock, false);
    if (t == NULL)
        return 0;
    arch_user_status(t, (int64_t)status);
    if (direct && t->priority > cpu->current->priority && sched_bring(cpu, t)) {
        struct runq *rq = runq_enter(cpu);
        if (t->priority > cpu->current->priority && sched_can_switch(cpu, rq, t) &&
            sched_can_ready(rq, t)) {
            arch_user_status(cpu->current, 1);
            sched_direct_ready(cpu, rq, t, NULL);
        }
        runq_leave(rq);
    }
    if (direct) {
        struct runq *rq = runq_enter(cpu);
        bool done = sched_ready_here(cpu, rq, t);
        runq_leave(rq);
        if (done)
            return 1;
    }
    sched_ready_irq(t, false);
    return 1;
}
static inline bool call_wake(bool direct) {
    return machine_call(sys_wake, direct, 7) != 0;
}

/* Wakes the first in the box and waits: as a call does. */
static inline uint64_t sys_pass(uint64_t a0, uint64_t a1) {
    struct cpu *cpu = cpu_this();
    (void)a0, (void)a1;
    (void)spin_lock(&machine_box.lock);
    struct thread *t = machine_box_take(NULL);
    spin_unlock(&machine_box.lock, false);
    (void)machine_box_enter();
    spin_unlock(&machine_box.lock, false);
    if (t == NULL)
        sched_block_user();
    arch_user_status(t, 7);
    if (sched_bring(cpu, t)) {
        struct runq *rq = runq_enter(cpu);
        if (!cpu->current->woken && sched_can_switch(cpu, rq, t))
            sched_direct_block(cpu, rq, t, NULL);
        runq_leave(rq);
    }
    sched_ready_irq(t, false);
    sched_block_user();
}
static inline int64_t call_pass(void) {
    return machine_call(sys_pass, 0, 0);
}

static inline uint64_t sys_kill(uint64_t who, uint64_t status) {
    struct who *w = (struct who *)(uintptr_t)who;
    thread_user_kill(w->t, w->serial, (int64_t)status);
    return 0;
}
static inline void call_kill(struct who *who, int64_t status) {
    (void)machine_call(sys_kill, (uint64_t)(uintptr_t)who, (uint64_t)status);
}
static inline uint64_t sys_end(uint64_t who, uint64_t a1) {
    struct who *w = (struct who *)(uintptr_t)who;
    (void)a1;
    thread_user_end(w->t, w->serial);
    return 0;
}
static inline void call_end(struct who *who) {
    (void)machine_call(sys_end, (uint64_t)(uintptr_t)who, 0);
}
static inline uint64_t sys_suspend(uint64_t who, uint64_t a1) {
    struct who *w = (struct who *)(uintptr_t)who;
    (void)a1;
    return (uint64_t)(int64_t)thread_user_suspend(w->t, w->serial);
}
static inline int call_suspend(struct who *who) {
    return (int)machine_call(sys_suspend, (uint64_t)(uintptr_t)who, 0);
}
static inline uint64_t sys_resume(uint64_t who, uint64_t a1) {
    struct who *w = (struct who *)(uintptr_t)who;
    (void)a1;
    return (uint64_t)(int64_t)thread_user_resume(w->t, w->serial);
}
static inline int call_resume(struct who *who) {
    return (int)machine_call(sys_resume, (uint64_t)(uintptr_t)who, 0);
}
static inline uint64_t sys_start(uint64_t who, uint64_t a1) {
    struct who *w = (struct who *)(uintptr_t)who;
    (void)a1;
    return (uint64_t)(int64_t)thread_user_start(w->t, w->serial);
}
static inline int call_start(struct who *who) {
    return (int)machine_call(sys_start, (uint64_t)(uintptr_t)who, 0);
}
static inline uint64_t sys_sched(uint64_t who, uint64_t args) {
    struct who *w = (struct who *)(uintptr_t)who;
    return (uint64_t)(int64_t)thread_user_sched(w->t, w->serial,
                                                (const gmk_sched_args_t *)(uintptr_t)args);
}
static inline int call_sched(struct who *who, const gmk_sched_args_t *args) {
    return (int)machine_call(sys_sched, (uint64_t)(uintptr_t)who, (uint64_t)(uintptr_t)args);
}
/* IF off. */
static inline gmk_thread_info_t user_info(struct who who) {
    gmk_thread_info_t info;
    assert_int_equal(thread_user_info(who.t, who.serial, &info), GMK_OK);
    return info;
}

static inline uint64_t sys_info(uint64_t who, uint64_t a1) {
    (void)a1;
    (void)user_info(*(struct who *)(uintptr_t)who);
    return 0;
}

/* All memory of user threads is in the pool, and nothing is charged. */
static inline void check_all_given_back(void) {
    unsigned in_pool = 0;
    for (struct object *o = pool.free; o != NULL; o = o->next_free)
        in_pool++;
    assert_int_equal(in_pool, pool.made - 1);
    assert_int_equal(machine_unit.thread_count, 0);
    assert_int_equal(machine_unit.msg_slots[0], 0);
    assert_int_equal(machine_factory.objects_free, 1u << 20);
    assert_int_equal(machine_factory.frames_free, 1u << 20);
    assert_null(machine_box.head);
}
