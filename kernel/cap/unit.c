/* Unit: making one, its threads, and the states on the way to its end.
 *
 * A unit's factory pays for all it makes, page tables and message buffers included. It is not the unit's
 * to end: the capability in slot 2 was put there by the kernel (cap_insert_at()), and only the last
 * step of the reaper ends it. What others still hold of it then (a thread's capability, a mapping of
 * its memory) comes back to the ended factory one by one (factory.c).
 *
 * Locks: object.lock (LOCK_UNIT) comes before all others and guards state, threads and message
 * buffers. Signals and the reaper are called without it. */
#include "kernel/cap/unit.h"

#include "kernel/core/panic.h"
#include "kernel/ipc/notify.h"
#include "kernel/mem/frame.h"
#include "kernel/sched/thread.h"
#include "kernel/sys/sys.h"

#include <string.h>

#define UNIT_PERMILLE_MAX (CPUS_MAX * 1000u)

struct unit *units[UNITS_MAX];

static struct object_pool unit_pool =
    OBJECT_POOL(GMK_CAP_UNIT, LOCK_UNIT, sizeof(struct unit), UNITS_MAX);
static _Atomic uint32_t unit_count, last_id;

/* ---- Making --------------------------------------------------------------------------------- */

static int check_args(const gmk_unit_args_t *args, unsigned priority_max) {
    if (memchr(args->name, '\0', sizeof(args->name)) == NULL || args->flags != 0 ||
        args->cpu_permille > UNIT_PERMILLE_MAX)
        return GMK_EINVAL;
    return args->priority_max <= priority_max ? GMK_OK : GMK_ERANGE;
}

/* What belongs to the memory of a unit: its table, and its place in units[]. */
static int make_constant(struct unit *unit) {
    if (unit->caps != NULL)
        return GMK_OK;
    paddr_t table = frame_alloc_run(CAP_TABLE_PAGES, PAGE_SIZE, 0, FRAME_OBJECT);
    if (table == 0)
        return GMK_ENOMEM;
    for (unsigned i = 0; i < CAP_TABLE_PAGES; i++)
        arch_page_clear(arch_phys(table + i * PAGE_SIZE));
    unit->caps = arch_phys(table);
    spin_init(&unit->caps_lock, LOCK_CAPS);
    unit->index = (uint16_t)atomic_fetch_add_explicit(&unit_count, 1, memory_order_relaxed);
    K_ASSERT(unit->index < UNITS_MAX, "the pool makes no more units than there are places");
    /* Release: who finds a unit here finds its table. Pairs with the acquire in unit_each(); a parent
     * of a capability is known by the capability (cap.c). */
    __atomic_store_n(&units[unit->index], unit, __ATOMIC_RELEASE);
    return GMK_OK;
}

/* It stands in the log, so nothing in it may look like more than a name. */
static void copy_name(char *to, const char *from) {
    for (unsigned i = 0; i < GMK_UNIT_NAME_MAX; i++) {
        bool plain = from[i] == '\0' || (from[i] >= ' ' && from[i] < 0x7f);
        to[i] = plain ? from[i] : '?';
    }
}

static void begin_life(struct unit *unit, const gmk_unit_args_t *args) {
    unit->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
    copy_name(unit->name, args->name);
    unit->priority_max = args->priority_max;
    unit->cpu_permille = args->cpu_permille;
    unit->status = 0;
    unit->threads = NULL;
    unit->thread_count = 0;
    memset(unit->msg_slots, 0, sizeof(unit->msg_slots));
    memset(unit->msg_frames, 0, sizeof(unit->msg_frames));
    unit->fault_port = unit->personality_port = (struct port_ref){0};
    unit->watcher = (struct notify_ref){0};
    unit->dead_run_ns = 0;
    unit->reap_waits = false;
    cap_table_init(unit);
    cap_insert_at(unit, GMK_HANDLE_SLOT(GMK_SELF_UNIT), &unit->object,
                  GMK_RIGHT_READ | GMK_RIGHT_WRITE | GMK_RIGHT_EXECUTE, 0);
    cap_insert_at(unit, GMK_HANDLE_SLOT(GMK_SELF_FACTORY), &unit->factory->object,
                  GMK_RIGHT_READ | GMK_RIGHT_WRITE | GMK_RIGHT_MANAGE, 0);
    unit->state = GMK_UNIT_NEW;
}

static void forget(struct unit *unit) {
    object_free(&unit_pool, &unit->object);
}

/* A unit that has not begun. */
static void undo(struct unit *unit) {
    spin_enter(&unit->object.lock);
    object_end_locked(&unit->object);
    spin_leave(&unit->object.lock);
    forget(unit);
}

/* Memory for one, and what belongs to it. */
static struct unit *take_memory(struct factory *factory, int *status) {
    struct unit *unit = (struct unit *)object_new(&unit_pool, factory, status);
    if (unit == NULL)
        return NULL;
    unit->state = GMK_UNIT_DEAD; /* to others, until it has begun */
    *status = make_constant(unit);
    if (*status == GMK_OK)
        return unit;
    undo(unit);
    return NULL;
}

bool unit_prepare(void) {
    int status;
    uint32_t before = atomic_load_explicit(&unit_count, memory_order_relaxed);
    struct unit *unit = take_memory(NULL, &status);
    if (unit != NULL)
        undo(unit);
    return unit != NULL && unit->index >= before;
}

int unit_create(struct factory *factory, const gmk_unit_args_t *args, unsigned priority_max,
                struct unit **out) {
    int status = check_args(args, priority_max);
    if (status != GMK_OK)
        return status;
    struct unit *unit = take_memory(factory, &status);
    if (unit == NULL)
        return status;
    unit->factory = factory_split(factory, args->frames, args->objects, &status);
    if (unit->factory == NULL)
        goto fail;
    status = space_init(&unit->space, unit->factory, arch_random());
    if (status != GMK_OK)
        goto fail_factory;
    begin_life(unit, args);
    *out = unit;
    return GMK_OK;
fail_factory:
    factory_end(unit->factory, unit->factory->object.serial);
    unit->factory = NULL;
fail:
    undo(unit);
    return status;
}

/* Under the lock. True: the caller hands it to the reaper. */
static bool die_locked(struct unit *unit, int64_t status) {
    if (unit->state >= GMK_UNIT_DYING)
        return false;
    unit->state = GMK_UNIT_DYING;
    unit->status = status;
    unit->reap_step = 0;
    unit->reap_slot = unit->thread_count;
    cap_table_close(unit);
    return true;
}

/* ---- Threads ---------------------------------------------------------------------------------- */

void unit_started(struct unit *unit) {
    spin_enter(&unit->object.lock);
    if (unit->state == GMK_UNIT_NEW)
        unit->state = GMK_UNIT_ALIVE;
    spin_leave(&unit->object.lock);
}

static void link_thread(struct unit *unit, struct thread *thread) {
    struct thread *first = unit->threads;
    thread->unit_next = first != NULL ? first : thread;
    thread->unit_prev = first != NULL ? first->unit_prev : thread;
    thread->unit_prev->unit_next = thread;
    thread->unit_next->unit_prev = thread;
    unit->threads = first != NULL ? first : thread;
    unit->thread_count++;
}

static void unlink_thread(struct unit *unit, struct thread *thread) {
    thread->unit_prev->unit_next = thread->unit_next;
    thread->unit_next->unit_prev = thread->unit_prev;
    if (unit->threads == thread)
        unit->threads = thread->unit_next != thread ? thread->unit_next : NULL;
    thread->unit_next = thread->unit_prev = NULL;
    unit->thread_count--;
}

int unit_thread_add(struct unit *unit, struct thread *thread) {
    int status = GMK_OK;
    spin_enter(&unit->object.lock);
    if (unit->state >= GMK_UNIT_DYING)
        status = GMK_ESTATE;
    else if (unit->thread_count >= UNIT_THREADS_MAX)
        status = GMK_ELIMIT;
    else
        link_thread(unit, thread);
    spin_leave(&unit->object.lock);
    return status;
}

void unit_thread_remove(struct unit *unit, struct thread *thread) {
    bool reap = false;
    spin_enter(&unit->object.lock);
    K_ASSERT(unit->thread_count > 0, "a thread that leaves its unit was in it");
    unlink_thread(unit, thread);
    unit->dead_run_ns += thread_run_ns(thread);
    if (unit->thread_count == 0) {
        reap =
            unit->reap_waits || (unit->state == GMK_UNIT_ALIVE && die_locked(unit, thread->status));
        unit->reap_waits = false;
    }
    spin_leave(&unit->object.lock);
    if (reap)
        reaper_add(unit);
}

/* ---- The end ---------------------------------------------------------------------------------- */

/* A thread that ends its own unit does not see user mode again. */
static void hand_over(struct unit *unit) {
    struct thread *current = cpu_this()->current;
    reaper_add(unit);
    if (current != NULL && current->unit == unit)
        thread_user_kill(current, current->object.serial, GMK_EKILLED);
}

void unit_kill(struct unit *unit, int64_t status) {
    spin_enter(&unit->object.lock);
    bool first = die_locked(unit, status);
    spin_leave(&unit->object.lock);
    if (first)
        hand_over(unit);
}

void unit_end(struct unit *unit, uint32_t serial) {
    if (!object_enter(&unit->object, serial))
        return;
    object_end_locked(&unit->object);
    bool first = die_locked(unit, GMK_EKILLED), dead = unit->state == GMK_UNIT_DEAD;
    object_leave(&unit->object);
    if (first)
        hand_over(unit);
    if (dead)
        forget(unit);
}

void unit_finish(struct unit *unit) {
    factory_end(unit->factory, unit->factory->object.serial);
    spin_enter(&unit->object.lock);
    K_ASSERT(unit->thread_count == 0, "a dead unit has no thread");
    unit->state = GMK_UNIT_DEAD;
    unit->factory = NULL;
    struct notify_ref watcher = unit->watcher;
    unit->watcher = (struct notify_ref){0};
    bool forgotten = unit->object.serial == 0;
    spin_leave(&unit->object.lock);
    notify_signal(&watcher);
    init_ended(unit);
    if (forgotten)
        forget(unit);
}

/* ---- What others ask of it ----------------------------------------------------------------------- */

static uint64_t run_ns_locked(const struct unit *unit) {
    uint64_t sum = unit->dead_run_ns;
    const struct thread *thread = unit->threads;
    for (unsigned i = 0; i < unit->thread_count; i++, thread = thread->unit_next)
        sum += thread_run_ns(thread);
    return sum;
}

int unit_info(struct unit *unit, uint32_t serial, gmk_unit_info_t *info) {
    memset(info, 0, sizeof(*info));
    if (!object_enter(&unit->object, serial))
        return GMK_EHANDLE;
    memcpy(info->name, unit->name, sizeof(info->name));
    info->id = unit->id;
    info->state = unit->state;
    info->status = unit->status;
    info->threads = unit->thread_count;
    info->run_ns = run_ns_locked(unit);
    const struct factory *factory = unit->factory;
    if (factory != NULL) {
        info->frames_max = factory->frames_max;
        info->objects_max = factory->objects_max;
        info->frames_used = factory->frames_max - atomic_load(&factory->frames_free);
        info->objects_used = factory->objects_max - atomic_load(&factory->objects_free);
    }
    object_leave(&unit->object);
    info->caps = cap_count(unit);
    return GMK_OK;
}

int unit_watch(struct unit *unit, uint32_t serial, const struct notify_ref *watcher) {
    if (!object_enter(&unit->object, serial))
        return GMK_EHANDLE;
    bool dead = unit->state == GMK_UNIT_DEAD;
    if (!dead)
        unit->watcher = *watcher;
    object_leave(&unit->object);
    if (dead)
        notify_signal(watcher);
    return GMK_OK;
}

int unit_ports(struct unit *unit, uint32_t serial, const struct port_ref *fault,
               const struct port_ref *personality) {
    if (!object_enter(&unit->object, serial))
        return GMK_EHANDLE;
    unit->fault_port = *fault;
    unit->personality_port = *personality;
    object_leave(&unit->object);
    return GMK_OK;
}

void unit_each(void (*fn)(void *arg, struct unit *unit), void *arg) {
    for (unsigned i = 0; i < UNITS_MAX; i++) {
        /* Acquire pairs with the release in make_constant(). */
        struct unit *unit = __atomic_load_n(&units[i], __ATOMIC_ACQUIRE);
        if (unit != NULL && (unit->object.serial != 0 || unit->state == GMK_UNIT_DYING))
            fn(arg, unit);
    }
}

/* ---- Message buffers ------------------------------------------------------------------------------- */

#define MSGS_PER_PAGE (PAGE_SIZE / sizeof(gmk_msg_t))

/* A free slot; UNIT_THREADS_MAX: none. */
static unsigned msg_slot_locked(const struct unit *unit) {
    for (unsigned i = 0; i < UNIT_THREADS_MAX / 64; i++)
        if (unit->msg_slots[i] != UINT64_MAX)
            return i * 64 + (unsigned)__builtin_ctzll(~unit->msg_slots[i]);
    return UNIT_THREADS_MAX;
}

static int msg_alloc_locked(struct unit *unit, unsigned *slot) {
    if (unit->state >= GMK_UNIT_DYING)
        return GMK_ESTATE;
    *slot = msg_slot_locked(unit);
    if (*slot == UNIT_THREADS_MAX)
        return GMK_ELIMIT;
    unsigned page = *slot / MSGS_PER_PAGE;
    int status = GMK_OK;
    if (unit->msg_frames[page] == 0) /* kept until the unit's end, which frees it with the space */
        status = space_page_add(&unit->space, UNIT_MSG_BASE + (uint64_t)page * PAGE_SIZE,
                                &unit->msg_frames[page]);
    if (status == GMK_OK)
        unit->msg_slots[*slot / 64] |= UINT64_C(1) << *slot % 64;
    return status;
}

int unit_msg_alloc(struct unit *unit, uint64_t *user, gmk_msg_t **kernel) {
    unsigned slot;
    spin_enter(&unit->object.lock);
    int status = msg_alloc_locked(unit, &slot);
    spin_leave(&unit->object.lock);
    if (status != GMK_OK)
        return status;
    *user = UNIT_MSG_BASE + slot * sizeof(gmk_msg_t);
    *kernel = (gmk_msg_t *)arch_phys(unit->msg_frames[slot / MSGS_PER_PAGE]) + slot % MSGS_PER_PAGE;
    return GMK_OK;
}

void unit_msg_free(struct unit *unit, uint64_t user) {
    unsigned slot = (unsigned)((user - UNIT_MSG_BASE) / sizeof(gmk_msg_t));
    K_ASSERT(slot < UNIT_THREADS_MAX, "a message buffer lies where they all do");
    spin_enter(&unit->object.lock);
    unit->msg_slots[slot / 64] &= ~(UINT64_C(1) << slot % 64);
    spin_leave(&unit->object.lock);
}
