/* Event machine: one CPU, user threads that are only frames, and object pools, for tests of what threads
 * wait in (kernel/ipc). The scheduler is a list of calls: a test sees who was made ready, and by
 * which kind of switch the caller left.
 *
 * Calls that do not return (direct switches, waiting) end with longjmp() to MACHINE_CALL. Included by
 * one test program, after nothing else of the kernel and before the sources under test. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch_user.h"
#include "ggmk/error.h"
#include "ggmk/log.h"
#include "kernel/cap/unit.h"
#include "kernel/core/panic.h"
#include "kernel/ipc/block.h"
#include "kernel/ipc/notify.h"
#include "kernel/sched/runq.h"

#define MACHINE_THREADS 48u

enum machine_left { RETURNED, BLOCKED, SWITCHED_BLOCKED, SWITCHED_READY };

static struct {
    struct cpu cpu;
    struct runq rq;
    struct unit unit;
    struct cap caps[GMK_CAPS_MAX];
    struct thread threads[MACHINE_THREADS];
    struct arch_user_frame frames[MACHINE_THREADS];
    bool irq_on;
    bool no_timers;    /* no wait with a limit can begin */
    bool elsewhere;    /* nobody can be brought to this CPU */
    bool urgent_waits; /* who was brought is not the most urgent */
    bool slow;         /* nobody can be made ready by the short path */
    bool idle_elsewhere;
    unsigned locks_held, objects;
    uint64_t now_ns, random;
    /* What the last call did. */
    jmp_buf left;
    enum machine_left how;
    struct thread *to;                       /* of a direct switch */
    struct thread *readied[MACHINE_THREADS]; /* by sched_ready(), in order */
    unsigned ready_count;
} machine;

struct cpu *cpus[CPUS_MAX] = {&machine.cpu};
unsigned cpu_count = 1;
_Atomic uint64_t cap_revocations, cap_changes;

static inline uint64_t machine_random(uint64_t below) {
    machine.random ^= machine.random << 13;
    machine.random ^= machine.random >> 7;
    machine.random ^= machine.random << 17;
    return machine.random % below;
}

/* ---- The processor ---------------------------------------------------------------------- */

struct cpu *arch_cpu(void) {
    return &machine.cpu;
}
bool arch_irq_disable(void) {
    bool on = machine.irq_on;
    machine.irq_on = false;
    return on;
}
void arch_irq_restore(bool on) {
    machine.irq_on = machine.irq_on || on;
}
uint64_t arch_time_ns(void) {
    return machine.now_ns;
}
_Noreturn void panic(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\n");
    abort();
}
void gmk_assert_failed(const char *expr, const char *file, int line, const char *message) {
    panic("%s:%d: %s (%s)", file, line, message, expr);
}

bool spin_lock(struct spinlock *lock) {
    assert_int_equal(lock->owner, 0); /* one CPU: nobody could ever give it back */
    lock->owner = 1;
    machine.locks_held++;
    return arch_irq_disable();
}
void spin_unlock(struct spinlock *lock, bool irq) {
    assert_int_equal(lock->owner, 1);
    lock->owner = 0;
    lock->serving = lock->next;
    machine.locks_held--;
    arch_irq_restore(irq);
}
void spin_init(struct spinlock *lock, enum lock_class class) {
    *lock = (struct spinlock)SPINLOCK_INIT((uint8_t) class);
}
uint64_t arch_cycles(void) {
    return machine.now_ns;
}
void spin_enter_slow(struct spinlock *lock, uint16_t ticket) {
    panic("lock of class %u, ticket %u: it is held already", lock->class, ticket);
}

/* ---- Objects ------------------------------------------------------------------------------- */

struct object *object_new(struct object_pool *pool, struct factory *factory, int *error) {
    static uint32_t last_serial;
    struct object *object = pool->free;
    if (pool->used == pool->limit) {
        *error = GMK_ELIMIT;
        return NULL;
    }
    if (object == NULL) {
        object = calloc(1, pool->size);
        assert_non_null(object);
        object->lock.class = pool->lock_class;
        object->type = pool->type;
    } else {
        pool->free = object->next_free;
    }
    pool->used++;
    machine.objects++;
    object->serial = ++last_serial;
    object->factory = factory;
    return object;
}

void object_end_locked(struct object *object) {
    object->serial = 0;
}

void object_free(struct object_pool *pool, struct object *object) {
    assert_int_equal(object->serial, 0);
    object->next_free = pool->free;
    pool->free = object;
    pool->used--;
    machine.objects--;
}

void object_destroy(struct object *object, uint32_t serial) {
    (void)object, (void)serial;
    abort();
}

bool cap_still_valid(struct unit *unit, struct cap *cap, uint64_t head) {
    (void)unit, (void)cap, (void)head;
    return true;
}

/* A handle in the slot, for the first life of the object there. */
static inline uint32_t machine_cap(unsigned slot, struct object *object, unsigned type,
                                   unsigned rights) {
    cap_changes++; /* what was remembered of the slot is stale */
    machine.caps[slot].object = object;
    machine.caps[slot].serial = object->serial;
    machine.caps[slot].head = CAP_HEAD(type, rights, 0, 1);
    return GMK_HANDLE(slot, 1);
}

/* ---- Threads --------------------------------------------------------------------------------- */

bool block_prepare(struct thread *thread, enum block_kind kind, void *object, uint64_t timeout_ns) {
    assert_int_equal(thread->block.kind, BLOCK_NONE);
    if (timeout_ns != GMK_FOREVER && machine.no_timers)
        return false;
    block_begin(thread, kind, object);
    return true;
}

/* What block.c does when a wait ends from outside. */
static inline bool machine_cancel(struct thread *t, block_remove_fn remove, void *object,
                                  int64_t status) {
    if (!remove(t, object, UINT32_MAX))
        return false;
    arch_user_status(t, status);
    return true;
}

static inline void machine_ready(struct thread *t, bool irq) {
    assert_false(irq);
    assert_int_equal(t->block.kind, BLOCK_NONE);
    machine.readied[machine.ready_count++] = t;
}

static inline bool machine_ready_here(struct thread *t) {
    if (machine.slow || t->priority > machine.cpu.current->priority)
        return false;
    machine.readied[machine.ready_count++] = t; /* under both locks: its wait may end after */
    return true;
}

_Noreturn static inline void machine_leave(enum machine_left how, struct thread *to,
                                           struct spinlock *held) {
    if (held != NULL)
        spin_leave(held);
    assert_int_equal(machine.locks_held, 0);
    machine.how = how;
    machine.to = to;
    longjmp(machine.left, 1);
}

/* The scheduler's names, from here on. */
#define runq_enter(cpu)                ((void)(cpu), &machine.rq)
#define runq_leave(rq)                 ((void)(rq))
#define runq_push(rq, t, front)        ((void)(rq), (void)(t), (void)(front))
#define sched_pass(cpu, rq, t, now)    ((void)(cpu), (void)(rq), (void)(t), (void)(now))
#define sched_bring(cpu, t)            ((void)(cpu), (void)(t), !machine.elsewhere)
#define sched_can_switch(cpu, rq, t)   ((void)(cpu), (void)(rq), (void)(t), !machine.urgent_waits)
#define sched_can_ready(rq, t)         ((void)(rq), (void)(t), !machine.idle_elsewhere)
#define sched_ready_here(cpu, rq, t)   machine_ready_here(t)
#define sched_direct_block(c, q, t, l) machine_leave(SWITCHED_BLOCKED, t, l)
#define sched_direct_ready(c, q, t, l) machine_leave(SWITCHED_READY, t, l)
#define sched_block_user()             machine_leave(BLOCKED, NULL, NULL)
#define sched_ready_irq(t, irq)        machine_ready(t, irq)

/* The ways out of the short paths (arch_user.h). */
_Noreturn static inline void arch_user_leave_with(struct thread *t, uint64_t rax, uint64_t rdi) {
    static const uint64_t none[4];
    arch_user_result(t, rax, rdi, none);
    machine_leave(RETURNED, NULL, NULL);
}

_Noreturn static inline void arch_user_hand_over_message(struct thread *to, struct spinlock *a,
                                                         struct spinlock *b, uint64_t rax,
                                                         uint64_t rdi, uint64_t w0, uint64_t w1,
                                                         uint64_t w2, uint64_t w3) {
    const uint64_t words[4] = {w0, w1, w2, w3};
    arch_user_result(to, rax, rdi, words);
    spin_leave_brief(a);
    machine_leave(machine.cpu.current->block.kind != BLOCK_NONE ? SWITCHED_BLOCKED : SWITCHED_READY,
                  to, b);
}

typedef uint64_t (*machine_entry)(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                                  uint64_t a5, uint64_t rax);

/* One system call by `thread`. What it returns is in its frame, as far as it is known yet. */
static inline void machine_call(struct thread *thread, machine_entry entry, uint64_t a0,
                                uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4) {
    machine.cpu.current = thread;
    for (unsigned i = 0; i < MACHINE_THREADS; i++)
        machine.threads[i].cpu = machine.elsewhere;
    machine.ready_count = 0;
    machine.to = NULL;
    machine.how = RETURNED;
    memset(arch_user_frame(thread), 0, sizeof(struct arch_user_frame));
    if (setjmp(machine.left) == 0)
        arch_user_frame(thread)->rax = entry(a0, a1, a2, a3, a4, 0, 0);
    assert_int_equal(machine.locks_held, 0);
}

static inline int64_t machine_status(const struct thread *t) {
    return (int64_t)arch_user_frame(t)->rax;
}

static inline void machine_start(uint64_t seed) {
    machine.cpu.self = &machine.cpu;
    machine.cpu.rq = &machine.rq;
    spin_init(&machine.rq.lock, LOCK_RUNQ);
    machine.unit.caps = machine.caps;
    machine.random = seed * 2654435761u + 1u;
    machine.now_ns = 1000;
    machine.irq_on = machine.elsewhere = machine.no_timers = machine.urgent_waits = false;
    machine.slow = machine.idle_elsewhere = false;
    memset(machine.threads, 0, sizeof(machine.threads));
    for (unsigned i = 0; i < MACHINE_THREADS; i++) {
        machine.threads[i].unit = &machine.unit;
        machine.threads[i].id = i;
        machine.threads[i].priority = 100;
        machine.threads[i].stack_top = (uintptr_t)(&machine.frames[i] + 1);
    }
}
