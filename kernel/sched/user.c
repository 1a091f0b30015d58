/* User threads: their making and their end.
 *
 * Memory. A user thread, its kernel stack and its block for vector registers stay together for
 * good and are used again for the next one: so making a thread maps nothing once the pool is warm, and
 * a stale pointer to a thread still leads to a lock that works (object.h). thread_users[] names
 * that memory by its slot.
 *
 * A life ends twice. The thread ends: nobody runs it any more (`gone`). And its capability ends
 * (`unreferenced`; from the beginning when it is detached). The memory goes to the pool when both
 * have happened; whoever comes second, under object.lock, does that.
 *
 * Ending. Exactly one makes a thread EXITED, under the lock of its queue: the thread itself on its
 * CPU, or a killer who finds it off every CPU. That one settles its affairs: fails those whom it
 * served, tells who watches. A thread that ends itself still stands on its stack while it does so;
 * what has to wait for that (its unit may go, its memory may be used again) is done by the thread that
 * runs next on its CPU (thread_user_gone()).
 *
 * Locks: LOCK_THREAD (object.lock), then run queues. Nothing is held where other parts are called. */
#include <string.h>

#include "kernel/cap/unit.h"
#include "kernel/core/panic.h"
#include "kernel/ipc/notify.h"
#include "kernel/ipc/port.h"
#include "kernel/mem/frame.h"
#include "kernel/mem/heap.h"
#include "kernel/mem/vm.h"
#include "kernel/sched/runq.h"
#include "kernel/sched/user.h"

#define USER_STACK_SIZE THREAD_STACK_SIZE

struct thread *thread_users[THREADS_MAX];

static struct { /* guarded by lock */
    struct spinlock lock;
    struct object *free;
    uint32_t made, last_serial;
} pool = {.lock = SPINLOCK_INIT(LOCK_POOL), .made = 1}; /* slot 0 is nobody's: no token is 0 */

static struct thread *thread_of(struct object *object) {
    return (struct thread *)((char *)object - offsetof(struct thread, object));
}

/* ---- Memory ------------------------------------------------------------------------------- */

/* New memory, entered in thread_users[]. */
static int pool_grow(struct thread **out) {
    struct thread *t = kzalloc(sizeof(*t));
    void *stack = t != NULL ? vm_stack_alloc(USER_STACK_SIZE) : NULL;
    if (stack == NULL) {
        kfree(t);
        return GMK_ENOMEM;
    }
    t->stack = stack;
    t->stack_size = USER_STACK_SIZE;
    t->stack_top = (uintptr_t)stack + USER_STACK_SIZE;
    t->frame = (uintptr_t)arch_user_frame(t);
    t->timeout = &t->timer_memory;
    t->object.type = GMK_CAP_THREAD;
    spin_init(&t->object.lock, LOCK_THREAD);
    spin_enter(&pool.lock);
    bool room = pool.made < THREADS_MAX;
    if (room) {
        t->slot = (uint16_t)pool.made;
        t->block.call = (uint32_t)t->slot << 1; /* its first token (kernel/ipc/port.h) */
        /* Release pairs with the loads of those who look a thread up by its slot. */
        __atomic_store_n(&thread_users[pool.made++], t, __ATOMIC_RELEASE);
    }
    spin_leave(&pool.lock);
    if (!room) {
        vm_stack_free(stack, USER_STACK_SIZE);
        kfree(t);
        return GMK_ELIMIT;
    }
    *out = t;
    return GMK_OK;
}

static int pool_take(struct thread **out) {
    spin_enter(&pool.lock);
    struct object *object = pool.free;
    if (object != NULL)
        pool.free = object->next_free;
    spin_leave(&pool.lock);
    *out = object != NULL ? thread_of(object) : NULL;
    return object != NULL ? GMK_OK : pool_grow(out);
}

static void pool_give(struct thread *t) {
    spin_enter(&pool.lock);
    t->object.next_free = pool.free;
    pool.free = &t->object;
    spin_leave(&pool.lock);
}

/* Another CPU may take it first; then the next call finds the pool empty again: THREADS_MAX times. */
bool thread_user_prepare(void) {
    struct thread *t;
    spin_enter(&pool.lock);
    bool empty = pool.free == NULL;
    spin_leave(&pool.lock);
    if (!empty || pool_grow(&t) != GMK_OK)
        return false;
    pool_give(t);
    return true;
}

static uint32_t new_serial(void) {
    spin_enter(&pool.lock);
    if (++pool.last_serial == 0)
        pool.last_serial = 1;
    uint32_t serial = pool.last_serial;
    spin_leave(&pool.lock);
    return serial;
}

/* Its block for vector registers, kept with the memory once it has one. */
static bool give_fpu(struct thread *t, bool wanted) {
    t->fpu = NULL;
    t->computes = 0;
    if (!wanted)
        return true;
    if (t->fpu_memory == NULL) {
        paddr_t at = frame_alloc_run(page_up(arch_fpu_size()) / PAGE_SIZE, PAGE_SIZE, UINT64_MAX,
                                     FRAME_STACK);
        if (at == 0)
            return false;
        t->fpu_memory = arch_phys(at);
    }
    t->fpu = t->fpu_memory;
    t->computes = 1;
    arch_fpu_reset(t->fpu);
    return true;
}

/* ---- Making --------------------------------------------------------------------------------- */

static int check_args(const struct unit *unit, const gmk_thread_args_t *args) {
    if ((args->flags & ~(GMK_THREAD_FPU | GMK_THREAD_START | GMK_THREAD_DETACHED)) != 0 ||
        args->reserved != 0 || args->priority > GMK_PRIORITY_MAX)
        return GMK_EINVAL;
    if (args->entry < GMK_USER_MIN || args->entry >= GMK_USER_MAX || args->stack > GMK_USER_MAX ||
        args->tls >= GMK_USER_MAX)
        return GMK_EINVAL;
    return args->priority <= unit->priority_max ? GMK_OK : GMK_ERANGE;
}

/* What a life begins with; what its last one left is of no account. */
static void begin_life(struct thread *t, struct unit *unit, const gmk_thread_args_t *args) {
    K_ASSERT(t->donors == NULL && t->served == NULL, "an ended thread works for nobody");
    memcpy(t->name, args->name, sizeof(t->name) - 1);
    t->name[sizeof(t->name) - 1] = '\0';
    t->calls_by.handle = t->receives_by.handle = 0;
    t->signals.handle = t->waits.handle = 0;
    t->id = thread_next_id();
    t->unit = unit;
    t->space = &unit->space;
    t->tls = args->tls;
    t->badge = args->badge;
    t->state = THREAD_NEW;
    t->woken = false;
    t->cpu = cpu_this()->index;
    t->affinity = UINT64_MAX;
    t->slice = slice_cycles(THREAD_SLICE_NS);
    t->slice_left = t->deadline = 0;
    t->run_cycles = t->switches = 0;
    t->budget.amount = t->budget.grant = 0;
    t->budget.throttled = t->budget.admitted = false;
    uint32_t special = unit->cpu_permille != 0 ? SPECIAL_BUDGET : 0;
    atomic_store_explicit(&t->special, special, memory_order_relaxed);
    t->assigned = t->base = t->priority = (uint8_t)args->priority;
    t->floor = thread_class_floor(args->priority);
    t->status = 0;
    t->watcher = NULL;
    t->gone = false;
    t->unreferenced = (args->flags & GMK_THREAD_DETACHED) != 0;
    atomic_store_explicit(&t->exited, 0, memory_order_relaxed);
}

/* Charges the unit's factory for the object and what belongs to it. */
static int charge_for(struct thread *t, struct unit *unit, bool fpu) {
    uint64_t frames =
        USER_STACK_SIZE / PAGE_SIZE + (fpu ? page_up(arch_fpu_size()) / PAGE_SIZE : 0);
    int status = factory_take_object(unit->factory);
    if (status != GMK_OK)
        return status;
    status = factory_take_frames(unit->factory, frames);
    if (status != GMK_OK) {
        factory_give_object(unit->factory);
        return status;
    }
    t->object.factory = unit->factory;
    t->charged_frames = (uint8_t)frames;
    return GMK_OK;
}

static void give_charge_back(struct thread *t) {
    factory_give_frames(t->object.factory, t->charged_frames);
    factory_give_object(t->object.factory);
    t->object.factory = NULL;
}

int thread_user_new(struct unit *unit, const gmk_thread_args_t *args, struct thread **out) {
    struct thread *t;
    bool fpu = (args->flags & GMK_THREAD_FPU) != 0;
    int status = check_args(unit, args);
    if (status == GMK_OK)
        status = pool_take(&t);
    if (status != GMK_OK)
        return status;
    status = charge_for(t, unit, fpu);
    if (status != GMK_OK)
        goto fail_pool;
    status = give_fpu(t, fpu) ? unit_msg_alloc(unit, &t->msg_user, &t->msg) : GMK_ENOMEM;
    if (status != GMK_OK)
        goto fail_charge;
    begin_life(t, unit, args);
    arch_user_start(t, args->entry, args->stack, args->arg, t->msg_user, t->id);
    spin_enter(&t->object.lock);
    t->object.serial = new_serial();
    spin_leave(&t->object.lock);
    status = unit_thread_add(unit, t);
    if (status == GMK_OK) {
        *out = t;
        return GMK_OK;
    }
    spin_enter(&t->object.lock);
    object_end_locked(&t->object);
    t->state = THREAD_EXITED;
    spin_leave(&t->object.lock);
    unit_msg_free(unit, t->msg_user);
fail_charge:
    give_charge_back(t);
fail_pool:
    pool_give(t);
    return status;
}

int thread_user_start(struct thread *t, uint32_t serial) {
    if (!object_enter(&t->object, serial))
        return GMK_EHANDLE;
    bool new = t->state == THREAD_NEW; /* only starters and ends change that, under this lock */
    if (new)
        sched_ready_irq(t, false);
    object_leave(&t->object);
    return new ? GMK_OK : GMK_ESTATE;
}

/* ---- The end ------------------------------------------------------------------------------------ */

/* Nobody can name it any more, and nobody runs it. Its object.lock is held, and released. */
static void free_locked(struct thread *t) {
    object_end_locked(&t->object);
    object_leave(&t->object);
    give_charge_back(t);
    pool_give(t);
}

void thread_user_gone(struct thread *t) {
    arch_fpu_forget(t);
    unit_thread_remove(t->unit, t);
    spin_enter(&t->object.lock);
    t->gone = true;
    if (t->unreferenced)
        free_locked(t);
    else
        object_leave(&t->object);
}

/* An EXITED thread's affairs. No lock held. */
static void settle(struct thread *t) {
    ipc_thread_end(t);
    struct runq *rq = sched_lock_thread(t);
    t->budget.throttled = false;
    runq_leave(rq);
    (void)timer_cancel(&t->budget.refill);
    (void)timer_cancel(&t->timer_memory);
    if (t->budget.admitted)
        budget_release(t->budget.home, t->budget.load);
    t->budget.admitted = false;
    unit_msg_free(t->unit, t->msg_user);
    spin_enter(&t->object.lock);
    struct notify_ref watcher = {t->watcher, t->watcher_serial, t->watcher_bits};
    /* Relaxed: under the lock. Who watches later sees it, and signals himself. */
    atomic_store_explicit(&t->exited, 1, memory_order_relaxed);
    spin_leave(&t->object.lock);
    if (watcher.notify != NULL)
        notify_signal(&watcher);
}

_Noreturn void thread_user_exit(int64_t status, bool whole) {
    struct cpu *cpu = cpu_this();
    struct thread *t = cpu->current;
    spin_enter(&t->object.lock);
    struct runq *rq = runq_enter(cpu);
    if ((atomic_load_explicit(&t->special, memory_order_relaxed) & SPECIAL_KILL) == 0)
        t->status = status;
    t->state = THREAD_EXITED;
    runq_leave(rq);
    object_leave(&t->object);
    if (whole)
        unit_kill(t->unit, status);
    settle(t);
    rq = runq_enter(cpu);
    rq->dead = t;
    sched_leave(cpu, rq);
}

/* What a killer found. */
enum found {
    FOUND_ENDED,   /* it has ended or does so itself, soon */
    FOUND_OFF,     /* off every CPU, and EXITED now: the killer settles its affairs */
    FOUND_WAITING, /* its wait must be ended first */
};

/* Under object.lock. */
static enum found mark_killed(struct thread *t, int64_t status, uint32_t *sequence) {
    struct runq *rq = sched_lock_thread(t);
    uint32_t target = rq->cpu->index;
    enum found found = FOUND_ENDED;
    bool send = false;
    if (t->state != THREAD_EXITED &&
        (atomic_load_explicit(&t->special, memory_order_relaxed) & SPECIAL_KILL) == 0) {
        t->status = status;
        sched_special_set(t, SPECIAL_KILL);
    }
    switch ((enum thread_state)t->state) {
    case THREAD_READY:
        runq_remove(rq, t);
        /* fallthrough */
    case THREAD_NEW:
    case THREAD_STOPPED:
        t->state = THREAD_EXITED;
        found = FOUND_OFF;
        break;
    case THREAD_BLOCKED:
        *sequence = t->block.sequence;
        found = FOUND_WAITING;
        break;
    case THREAD_RUNNING:
        send = t != cpu_this()->current && t == rq->cpu->current && sched_ask(rq, false);
        break;
    case THREAD_EXITED:
        break;
    }
    runq_leave(rq);
    if (send)
        arch_ipi_send(target, ARCH_IPI_RESCHED);
    return found;
}

void thread_user_kill(struct thread *t, uint32_t serial, int64_t status) {
    /* Twice: the second time after its wait was ended. Whoever else ended the wait lets it go on: then
     * it is found READY, or ends itself. */
    for (unsigned attempt = 0; attempt < 2; attempt++) {
        uint32_t sequence = 0;
        if (!object_enter(&t->object, serial))
            return;
        enum found found = mark_killed(t, status, &sequence);
        object_leave(&t->object);
        if (found == FOUND_OFF) {
            settle(t);
            thread_user_gone(t);
        }
        if (found != FOUND_WAITING)
            return;
        (void)block_cancel(t, sequence, GMK_EKILLED);
    }
}

void thread_user_end(struct thread *t, uint32_t serial) {
    thread_user_kill(t, serial, GMK_EKILLED);
    if (!object_enter(&t->object, serial))
        return;
    t->unreferenced = true;
    if (t->gone) {
        free_locked(t);
    } else {
        object_end_locked(&t->object);
        object_leave(&t->object);
    }
}
