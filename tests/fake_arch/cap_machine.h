/* Cap machine: capabilities, factories, units and the reaper as they are, on one CPU of make-believe;
 * threads, spaces and the other types of objects are lists of what was asked of them.
 *
 * Included by one test program, after nothing else of the kernel. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/cap/cap.c"
#include "kernel/cap/ends.c"
#include "kernel/cap/factory.c"
#include "kernel/cap/object.c"
#include "kernel/cap/reaper.c"
#include "kernel/cap/table.c"
#include "kernel/cap/unit.c"
#include "kernel/core/lock.c"

#define MACHINE_THREADS 2048u
#define MACHINE_LOG     256u

static struct {
    struct cpu cpu;
    bool irq_on;
    uint64_t now_ns, random;
    int64_t frames;      /* taken and not given back */
    uint32_t fail_after; /* the n-th allocation of frames from now on fails; 0: none */
    int submit_status;   /* what irq_submit() says */
    bool submitted, memory_left, ports_left;
    struct timer *timer; /* armed */
    /* What was called. */
    struct object *ended[MACHINE_LOG];
    unsigned ended_count;
    struct notify_ref signals[MACHINE_LOG];
    unsigned signal_count, steps;
    /* Threads: type-stable, too. */
    struct thread *threads[MACHINE_THREADS];
    unsigned thread_count;
    struct thread *lingering; /* killed, but still on another CPU: gone by machine_leave_cpu() */
} machine;

struct cpu *cpus[CPUS_MAX] = {&machine.cpu};
unsigned cpu_count = 1;

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
void arch_relax(void) {
    abort(); /* nobody holds a lock for long on one CPU */
}
uint64_t arch_cycles(void) {
    return machine.now_ns;
}
uint64_t arch_time_ns(void) {
    return machine.now_ns;
}
uint64_t arch_random(void) {
    return machine_random(UINT64_MAX);
}
void shootdown_isr(void) {}
_Noreturn void panic(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\n");
    abort();
}

/* ---- Frames -------------------------------------------------------------------------------- */

static inline paddr_t machine_frames(size_t count) {
    if (machine.fail_after != 0 && --machine.fail_after == 0)
        return 0;
    void *at = aligned_alloc(PAGE_SIZE, count * PAGE_SIZE);
    assert_non_null(at);
    memset(at, 0xa5, count * PAGE_SIZE);
    machine.frames += (int64_t)count;
    return (paddr_t)(uintptr_t)at;
}
paddr_t frame_alloc(enum frame_owner owner) {
    (void)owner;
    return machine_frames(1);
}
paddr_t frame_alloc_run(size_t count, uint64_t align, uint64_t limit, enum frame_owner owner) {
    (void)align, (void)limit, (void)owner;
    return machine_frames(count);
}
void frame_stats(struct frame_stats *stats) {
    *stats = (struct frame_stats){.total = 100000, .free = 100000};
}

/* ---- Spaces: a root and pages, charged as the real ones are --------------------------------- */

/* The next page, in a corner of the page that no message uses. */
static inline paddr_t *machine_link(paddr_t page) {
    return (paddr_t *)(page + PAGE_SIZE) - 1;
}
int space_init(struct space *space, struct factory *factory, uint64_t random) {
    (void)random;
    int status = factory_take_frames(factory, 1);
    if (status != GMK_OK)
        return status;
    space->root = machine_frames(1);
    if (space->root == 0) {
        factory_give_frames(factory, 1);
        return GMK_ENOMEM;
    }
    space->factory = factory;
    space->count = 0;
    return GMK_OK;
}
int space_page_add(struct space *space, uint64_t address, paddr_t *frame) {
    assert_int_equal(address % PAGE_SIZE, 0);
    int status = factory_take_frames(space->factory, 1);
    if (status != GMK_OK)
        return status;
    paddr_t page = machine_frames(1);
    if (page == 0) {
        factory_give_frames(space->factory, 1);
        return GMK_ENOMEM;
    }
    *machine_link(page) = space->root;
    *frame = page;
    space->root = page;
    space->count++;
    return GMK_OK;
}
bool space_end_step(struct space *space) {
    machine.steps++;
    paddr_t page = space->root;
    bool last = space->count == 0;
    space->root = last ? 0 : *machine_link(page);
    space->count -= !last;
    free((void *)page);
    machine.frames--;
    factory_give_frames(space->factory, 1);
    return last;
}
bool memory_reap_step(void) {
    bool done = !machine.memory_left;
    machine.memory_left = false;
    return done;
}
bool port_reap_step(void) {
    bool done = !machine.ports_left;
    machine.ports_left = false;
    return done;
}

/* ---- What is signalled, submitted and timed -------------------------------------------------- */

void notify_signal(const struct notify_ref *ref) {
    if (ref->notify == NULL)
        return;
    assert_true(machine.signal_count < MACHINE_LOG);
    machine.signals[machine.signal_count++] = *ref;
}
int irq_submit(const gmk_task_t *task) {
    assert_int_equal(task->type, REAPER_TASK);
    assert_false(machine.irq_on);
    if (machine.submit_status != GMK_OK)
        return machine.submit_status;
    assert_false(machine.submitted); /* one task at a time */
    machine.submitted = true;
    return GMK_OK;
}
bool timer_start(struct timer *timer, uint64_t at_ns, void (*fn)(struct timer *timer)) {
    assert_null(machine.timer);
    assert_true(at_ns > machine.now_ns);
    timer->fn = fn;
    machine.timer = timer;
    return true;
}
void init_ended(const struct unit *unit) {
    assert_int_equal(unit->state, GMK_UNIT_DEAD);
}

/* The engine: runs the reaper until it has nothing to do. */
static inline void machine_reap(void) {
    for (unsigned tasks = 0; machine.submitted; tasks++) {
        assert_true(tasks < 10000);
        machine.submitted = false;
        machine.irq_on = true;
        assert_int_equal(reap(NULL), GMK_OK);
        assert_true(machine.irq_on);
        machine.irq_on = false;
    }
    assert_int_equal(machine.cpu.locks_held, 0);
}

/* ---- Threads ------------------------------------------------------------------------------------ */

uint64_t thread_run_ns(const struct thread *thread) {
    return thread->run_cycles;
}

static inline void thread_gone(struct thread *t) {
    struct unit *unit = t->unit;
    struct factory *factory = t->object.factory;
    unit_msg_free(unit, t->msg_user);
    t->state = THREAD_EXITED;
    unit_thread_remove(unit, t);
    if (t->object.serial == 0)
        factory_give_object(factory);
}

/* A thread with its message buffer, as user.c makes it. */
static inline int machine_thread(struct unit *unit, struct thread **out) {
    int status = factory_take_object(unit->factory);
    if (status != GMK_OK)
        return status;
    struct thread *t = calloc(1, sizeof(*t));
    assert_non_null(t);
    assert_true(machine.thread_count < MACHINE_THREADS);
    machine.threads[machine.thread_count++] = t;
    spin_init(&t->object.lock, LOCK_THREAD);
    t->object.type = GMK_CAP_THREAD;
    t->object.serial = machine.thread_count;
    t->object.factory = unit->factory;
    t->unit = unit;
    t->state = THREAD_NEW;
    status = unit_msg_alloc(unit, &t->msg_user, &t->msg);
    if (status == GMK_OK) {
        status = unit_thread_add(unit, t);
        if (status != GMK_OK)
            unit_msg_free(unit, t->msg_user);
    }
    if (status != GMK_OK) {
        t->object.serial = 0;
        factory_give_object(unit->factory);
    }
    *out = t;
    return status;
}

/* It ends by itself. */
static inline void machine_exit(struct thread *t, int64_t status) {
    t->status = status;
    thread_gone(t);
}

void thread_user_kill(struct thread *t, uint32_t serial, int64_t status) {
    if (t->object.serial != serial || t->state == THREAD_EXITED)
        return;
    t->status = status;
    if (t == machine.lingering)
        t->special |= SPECIAL_KILL;
    else
        thread_gone(t);
}
/* What lingered has left its CPU. */
static inline void machine_leave_cpu(void) {
    struct thread *t = machine.lingering;
    machine.lingering = NULL;
    assert_true(t->special & SPECIAL_KILL);
    thread_gone(t);
}
void thread_user_end(struct thread *t, uint32_t serial) {
    if (t->object.serial != serial || serial == 0)
        return;
    t->object.serial = 0;
    if (t->state == THREAD_EXITED)
        factory_give_object(t->object.factory);
    else
        thread_gone(t);
}

/* ---- Other objects: their ends are written down ------------------------------------------------ */

static inline void machine_ended(struct object *object, uint32_t serial) {
    if (object->serial != serial)
        return;
    assert_int_equal(machine.cpu.locks_held, 0);
    assert_true(machine.ended_count < MACHINE_LOG);
    machine.ended[machine.ended_count++] = object;
    struct factory *factory = object->factory;
    object->serial = 0;
    object->factory = NULL;
    factory_give_object(factory);
}

/* Types and parameters cannot stand in parentheses. */
// NOLINTBEGIN(bugprone-macro-parentheses)
#define MACHINE_END(name, type, parameter)                 \
    void name(type *parameter, uint32_t serial) {          \
        machine_ended((struct object *)parameter, serial); \
    }
// NOLINTEND(bugprone-macro-parentheses)
MACHINE_END(port_end, struct port, port)
MACHINE_END(notify_end, struct notify, notify)
MACHINE_END(memory_end, struct memory, memory)
MACHINE_END(channel_end, struct object, object)
MACHINE_END(registry_end, struct object, object)
MACHINE_END(timercap_end, struct object, object)
MACHINE_END(irqcap_end, struct object, object)
MACHINE_END(ioport_end, struct object, object)

/* An object of another type than units, threads and factories. */
static inline struct object machine_object(unsigned type) {
    static uint32_t last_serial;
    return (struct object){
        .lock = SPINLOCK_INIT(LOCK_OBJECT), .type = (uint8_t)type, .serial = ++last_serial};
}

/* ---- Building one ---------------------------------------------------------------------------------- */

static struct factory *machine_root;

/* Type-stable memory stays from test to test, as in the kernel. */
static inline void machine_start(uint64_t seed) {
    machine.cpu.self = &machine.cpu;
    machine.random = seed * 2654435761u + 1u;
    machine.now_ns = 1000;
    machine.irq_on = machine.memory_left = machine.ports_left = false;
    machine.fail_after = 0;
    machine.submit_status = GMK_OK;
    machine.ended_count = machine.signal_count = machine.steps = 0;
    if (machine_root == NULL)
        machine_root = factory_root(0);
    assert_non_null(machine_root);
}

static inline struct unit *machine_unit(const char *name, uint64_t frames, uint64_t objects) {
    gmk_unit_args_t args = {.frames = frames, .objects = objects, .priority_max = 100};
    strncpy(args.name, name, sizeof(args.name) - 1);
    struct unit *unit;
    assert_int_equal(unit_create(machine_root, &args, 100, &unit), GMK_OK);
    return unit;
}

/* Their capabilities go, which no table had. */
static inline void machine_free_threads(void) {
    for (unsigned i = 0; i < machine.thread_count; i++) {
        thread_user_end(machine.threads[i], machine.threads[i]->object.serial);
        free(machine.threads[i]);
    }
    machine.thread_count = 0;
}

static inline bool root_is_full(void) {
    return machine_root->frames_free == machine_root->frames_max &&
           machine_root->objects_free == machine_root->objects_max;
}
