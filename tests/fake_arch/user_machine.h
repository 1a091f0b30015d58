/* User machine: user threads on the machine of make-believe.
 *
 * User mode is a coroutine on a stack of its own; a system call is another one on the kernel stack,
 * begun anew each time, as the entry code does. A thread at the boundary has only its user
 * coroutine: going on with it runs machine_resume() on the empty kernel stack first. An interrupt
 * in user mode may leave it deeper, or at the boundary of a full frame.
 *
 * What the scheduler uses of other parts is played here: units that only count, a box to wait in (a
 * list under a lock, as ports and notifications are), inheritance as a number. Included by
 * sched_machine.h. */
#pragma once

#include "arch_user.h"
#include "kernel/cap/unit.h"
#include "kernel/ipc/block.h"
#include "kernel/ipc/notify.h"
#include "kernel/ipc/port.h"
#include "kernel/irq/irq.h"
#include "kernel/sched/runq.h"
#include "tests/fake_arch/machine.h"

struct machine_user {
    ucontext_t user;   /* where user mode goes on */
    ucontext_t kernel; /* a system call, or what comes after a switch */
    ucontext_t full;   /* a full frame's boundary */
    char *stacks;      /* user mode's, then the kernel's */
    struct thread *t;
    uint64_t (*call)(uint64_t a0, uint64_t a1);
    uint64_t a0, a1;
    bool handed, left;
    struct spinlock *release[2];
    unsigned inherited; /* priority that it inherits */
};
static struct machine_user machine_users[THREADS_MAX];

static inline struct machine_user *machine_user_of(const struct thread *t) {
    return &machine_users[t->slot];
}

static inline struct machine_user *machine_me(void) {
    return machine_user_of(machine_cpu()->cpu.current);
}

/* ---- Entry code ---------------------------------------------------------------------------- */

/* On the kernel stack, IF off. */
static inline void machine_exit(struct machine_user *u) {
    while ((u->t->special & SPECIAL_EXIT) != 0) {
        arch_user_boundary(u->t);
        thread_user_special(u->t);
    }
    setcontext(&u->user);
}

static inline void machine_kernel_main(void *arg) {
    struct machine_user *u = arg;
    assert_false(machine_cpu()->irq_on);
    arch_user_status(u->t, (int64_t)u->call(u->a0, u->a1));
    machine_exit(u);
}

static inline void machine_resume(void *arg) {
    struct machine_user *u = arg;
    if (u->handed) {
        u->handed = false;
        if (u->release[1] != NULL)
            spin_leave(u->release[1]);
        spin_leave(u->release[0]);
        /* What was set after that reaches it by an interrupt. */
    } else {
        sched_switched_user();
        machine_exit(u);
    }
    setcontext(&u->user);
}

static inline void machine_on_kernel_stack(struct machine_user *u, void (*fn)(void *)) {
    machine_context(&u->kernel, u->stacks + MACHINE_STACK, MACHINE_STACK, fn, u);
}

/* A system call, from user mode. */
static inline int64_t machine_call(uint64_t (*call)(uint64_t, uint64_t), uint64_t a0, uint64_t a1) {
    struct machine_user *u = machine_me();
    assert_true(machine_cpu()->irq_on);
    machine_cpu()->irq_on = false;
    u = machine_me(); /* IF was on until now */
    u->call = call;
    u->a0 = a0;
    u->a1 = a1;
    machine_on_kernel_stack(u, machine_kernel_main);
    swapcontext(&u->user, &u->kernel);
    int64_t result = (int64_t)arch_user_frame(machine_me()->t)->rax;
    arch_irq_enable();
    return result;
}

static inline uint64_t machine_sys_exit(uint64_t status, uint64_t whole) {
    thread_user_exit((int64_t)status, whole != 0);
}

struct machine_start {
    void (*entry)(uint64_t arg);
    uint64_t arg;
};
static struct machine_start machine_starts[THREADS_MAX];

static inline void machine_user_main(void *arg) {
    struct machine_start *start = arg;
    arch_irq_enable();
    start->entry(start->arg);
    (void)machine_call(machine_sys_exit, 0, 0);
}

void arch_user_start(struct thread *t, uint64_t entry, uint64_t stack, uint64_t arg, uint64_t msg,
                     uint64_t id) {
    struct machine_user *u = machine_user_of(t);
    struct machine_start *start = &machine_starts[t->slot];
    (void)stack, (void)msg, (void)id;
    u->t = t;
    if (u->stacks == NULL)
        u->stacks = malloc(2 * MACHINE_STACK);
    assert_non_null(u->stacks);
    u->handed = u->left = false;
    u->inherited = 0;
    *start = (struct machine_start){(void (*)(uint64_t))(uintptr_t)entry, arg};
    machine_context(&u->user, u->stacks, MACHINE_STACK, machine_user_main, start);
    arch_user_boundary(t);
}

void arch_user_hand_over(struct thread *to, struct spinlock *a, struct spinlock *b) {
    struct machine_user *u = machine_user_of(to);
    assert_ptr_equal(machine_cpu()->cpu.current, to);
    assert_int_equal(to->special & ~SPECIAL_IN_QUEUE, 0);
    u->handed = true;
    u->release[0] = a;
    u->release[1] = b;
    machine_on_kernel_stack(u, machine_resume);
    setcontext(&u->kernel);
    abort();
}

static inline ucontext_t *machine_user_boundary(const struct arch_context *context) {
    const struct thread *t = (const struct thread *)(const void *)context;
    if (t->unit == NULL || arch_user_is_full(t))
        return NULL;
    struct machine_user *u = machine_user_of(t);
    machine_on_kernel_stack(u, machine_resume);
    return &u->kernel;
}

static inline void machine_special_main(void *arg) {
    struct machine_user *u = arg;
    thread_user_special(u->t);
    u->left = false;
    setcontext(&u->full);
}

/* After an interrupt of user mode, on its stack. */
static inline void machine_user_exit(void) {
    struct thread *t = machine_cpu()->cpu.current;
    if (t->unit == NULL)
        return;
    struct machine_user *u = machine_user_of(t);
    while ((t->special & SPECIAL_EXIT) != 0) {
        u->left = true;
        t->context.stack = (uintptr_t)&u->full;
        machine_on_kernel_stack(u, machine_special_main);
        swapcontext(&u->full, &u->kernel);
        if (u->left)
            sched_switched_user();
    }
}

void arch_user_switch(struct cpu *cpu, struct thread *from, struct thread *to) {
    (void)cpu, (void)from, (void)to;
}
void arch_user_switch_plain(struct cpu *cpu, struct thread *to) {
    (void)cpu, (void)to;
}
void arch_fpu_switch(struct cpu *cpu, struct thread *from, struct thread *to) {
    (void)cpu, (void)from, (void)to;
}
size_t arch_fpu_size(void) {
    return 1000;
}
void arch_fpu_reset(void *block) {
    memset(block, 0, arch_fpu_size());
}
void arch_fpu_forget(struct thread *thread) {
    (void)thread;
}
void ipi_call_isr(void) {}
void shootdown_isr(void) {}

/* ---- Units that only count -------------------------------------------------------------------- */

static struct unit machine_unit;
static struct factory machine_factory;
static unsigned machine_watch_signals;

static inline void machine_unit_init(void) {
    memset(&machine_unit, 0, sizeof(machine_unit));
    machine_unit.priority_max = GMK_PRIORITY_MAX;
    machine_unit.factory = &machine_factory;
    machine_factory = (struct factory){.frames_free = 1u << 20, .objects_free = 1u << 20};
    machine_watch_signals = 0;
    machine_to_user = machine_user_exit;
    machine_boundary = machine_user_boundary;
}

int factory_take_frames(struct factory *factory, uint64_t count) {
    if (factory->frames_free < count)
        return GMK_EBUDGET;
    factory->frames_free -= count;
    return GMK_OK;
}
void factory_give_frames(struct factory *factory, uint64_t count) {
    factory->frames_free += count;
}
int factory_take_object(struct factory *factory) {
    if (factory->objects_free < 1)
        return GMK_EBUDGET;
    factory->objects_free--;
    return GMK_OK;
}
void factory_give_object(struct factory *factory) {
    factory->objects_free++;
}
void object_end_locked(struct object *object) {
    object->serial = 0;
}
int unit_thread_add(struct unit *unit, struct thread *thread) {
    (void)thread;
    unit->thread_count++;
    return unit->state == GMK_UNIT_DYING ? GMK_ESTATE : GMK_OK;
}
void unit_thread_remove(struct unit *unit, struct thread *thread) {
    assert_int_equal(thread->state, THREAD_EXITED);
    for (unsigned i = 0; i < cpu_count; i++)
        assert_ptr_not_equal(machine.at[i].cpu.current, thread);
    assert_true(unit->thread_count > 0);
    unit->thread_count--;
}
void unit_kill(struct unit *unit, int64_t status) {
    unit->state = GMK_UNIT_DYING;
    for (unsigned i = 1; i < THREADS_MAX; i++)
        if (thread_users[i] != NULL && thread_users[i]->object.serial != 0)
            thread_user_kill(thread_users[i], thread_users[i]->object.serial, status);
}
int unit_msg_alloc(struct unit *unit, uint64_t *user, gmk_msg_t **kernel) {
    static gmk_msg_t msg;
    unit->msg_slots[0]++;
    *user = 1;
    *kernel = &msg;
    return GMK_OK;
}
void unit_msg_free(struct unit *unit, uint64_t user) {
    (void)user;
    unit->msg_slots[0]--;
}
void notify_signal(const struct notify_ref *ref) {
    (void)ref;
    machine_watch_signals++;
}

/* ---- A box to wait in --------------------------------------------------------------------------- */

static struct machine_box {
    struct spinlock lock;
    struct thread *head; /* by block.next */
} machine_box = {.lock = SPINLOCK_INIT(LOCK_NOTIFY)};

/* The first one, or `t` if it is in; taken out. Under the lock. */
static inline struct thread *machine_box_take(const struct thread *t) {
    for (struct thread **at = &machine_box.head; *at != NULL; at = &(*at)->block.next)
        if (t == NULL || *at == t) {
            struct thread *found = *at;
            *at = found->block.next;
            found->block.kind = BLOCK_NONE;
            return found;
        }
    return NULL;
}

/* IF off: the current thread enters; the box stays locked. */
static inline struct thread *machine_box_enter(void) {
    struct thread *t = machine_cpu()->cpu.current;
    (void)spin_lock(&machine_box.lock);
    t->block.kind = BLOCK_NOTIFY;
    t->block.sequence++;
    t->block.next = machine_box.head;
    machine_box.head = t;
    return t;
}

bool block_cancel(struct thread *t, uint32_t sequence, int64_t status) {
    (void)spin_lock(&machine_box.lock);
    bool mine = t->block.sequence == sequence && machine_box_take(t) != NULL;
    if (mine)
        arch_user_status(t, status);
    spin_unlock(&machine_box.lock, false);
    if (mine)
        sched_ready_irq(t, false);
    return mine;
}

void ipc_thread_end(struct thread *t) {
    machine_user_of(t)->inherited = 0;
}

static inline void machine_inherit(struct thread *t) {
    struct runq *rq = sched_lock_thread(t);
    unsigned inherited = machine_user_of(t)->inherited;
    sched_effective_unlock(rq, t, inherited > t->base ? inherited : t->base);
}
void inherit_update(struct thread *t) {
    machine_inherit(t);
}
