/* Test of capabilities on several CPUs at once: what was taken back stays taken back, whatever others do
 * in the same slots at the same moment; and nothing ends twice.
 *
 * CPUs are threads of the test process, the sources and locks are the kernel's. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/cap/cap.c"
#include "kernel/cap/factory.c"
#include "kernel/cap/object.c"
#include "kernel/cap/table.c"
#include "kernel/core/lock.c"

#define CPUS   4u
#define UNITS  3u
#define ROUNDS 3000u

static _Thread_local struct cpu this_cpu;
static _Atomic uint32_t cpus_made;
static struct unit the_units[UNITS];
struct unit *units[UNITS_MAX] = {&the_units[0], &the_units[1], &the_units[2]};

struct cpu *arch_cpu(void) {
    if (this_cpu.self == NULL) {
        this_cpu.self = &this_cpu;
        this_cpu.index = atomic_fetch_add(&cpus_made, 1);
    }
    return &this_cpu;
}
bool arch_irq_disable(void) {
    return false;
}
void arch_irq_restore(bool on) {
    (void)on;
}
void arch_relax(void) {
    sched_yield();
}
uint64_t arch_cycles(void) {
    return 0;
}
void shootdown_isr(void) {}
_Noreturn void panic(const char *fmt, ...) {
    fprintf(stderr, "%s\n", fmt);
    abort();
}
paddr_t frame_alloc(enum frame_owner owner) {
    (void)owner;
    return (paddr_t)(uintptr_t)aligned_alloc(PAGE_SIZE, PAGE_SIZE);
}
paddr_t frame_alloc_run(size_t count, uint64_t align, uint64_t limit, enum frame_owner owner) {
    (void)align, (void)limit, (void)owner;
    return (paddr_t)(uintptr_t)aligned_alloc(PAGE_SIZE, count * PAGE_SIZE);
}
void frame_stats(struct frame_stats *stats) {
    *stats = (struct frame_stats){.free = 1000};
}

static _Atomic uint32_t ends;
void object_destroy(struct object *object, uint32_t serial) {
    if (!object_enter(object, serial))
        return;
    object_end_locked(object);
    object_leave(object);
    atomic_fetch_add(&ends, 1);
}

static void build(void) {
    for (unsigned i = 0; i < UNITS; i++) {
        struct unit *unit = &the_units[i];
        if (unit->caps == NULL) {
            unit->caps = aligned_alloc(64, GMK_CAPS_MAX * sizeof(struct cap));
            memset(unit->caps, 0, GMK_CAPS_MAX * sizeof(struct cap));
            unit->index = (uint16_t)i;
            spin_init(&unit->caps_lock, LOCK_CAPS);
        }
        unsigned slot = 0;
        while (!cap_drop_some(unit, &slot, 16))
            continue;
        cap_table_init(unit);
    }
    atomic_store(&ends, 0);
}

static uint64_t random_of(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static bool valid(struct unit *unit, uint32_t handle) {
    struct cap_view view;
    return cap_get(unit, unit->caps, handle, GMK_CAP_NONE, 0, &view) == GMK_OK;
}

static struct object new_object(void) {
    static uint32_t serial;
    return (struct object){
        .lock = SPINLOCK_INIT(LOCK_OBJECT), .type = GMK_CAP_PORT, .serial = ++serial};
}

static void run_all(void *(*fn)(void *)) {
    pthread_t threads[CPUS];
    for (uintptr_t i = 0; i < CPUS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fn, (void *)i), 0);
    uintptr_t bad = 0;
    for (unsigned i = 0; i < CPUS; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        bad += (uintptr_t)result;
    }
    assert_int_equal(bad, 0);
    for (unsigned i = 0; i < UNITS; i++)
        cap_check_table(&the_units[i]);
}

/* ---- Deriving while the parent is revoked ------------------------------------------------------ */

static struct object thing;
static uint32_t parent;
static _Atomic uint32_t revokes_begun, revokes_done;
static _Atomic unsigned deriving;

/* Whoever has derived waits for a revoke that began later: then all of it is gone. */
static uintptr_t derive_and_wait(uint64_t *random) {
    struct unit *a = &the_units[1], *b = &the_units[2];
    int64_t first = cap_derive(&the_units[0], parent, a, GMK_RIGHTS_ALL, 0);
    int64_t second = first > 0 ? cap_derive(a, (uint32_t)first, b, 1, 0) : 0;
    if (first <= 0) /* revoked in the middle */
        return first != GMK_EHANDLE;
    uint32_t begun = atomic_load(&revokes_begun);
    while (atomic_load(&revokes_done) <= begun) {
        /* Slots change hands meanwhile. */
        int64_t other = cap_derive(&the_units[0], parent, b, 1, 0);
        if (other > 0 && (random_of(random) & 1) != 0)
            (void)cap_drop(b, (uint32_t)other);
        sched_yield();
    }
    return valid(a, (uint32_t)first) || (second > 0 && valid(b, (uint32_t)second));
}

static void *derive_or_revoke(void *arg) {
    uint64_t random = 88172645463325252u + (uintptr_t)arg;
    uintptr_t bad = 0;
    if ((uintptr_t)arg == 0) {
        while (atomic_load(&deriving) > 0) {
            atomic_fetch_add(&revokes_begun, 1);
            bad += cap_revoke(&the_units[0], parent) != GMK_OK;
            atomic_fetch_add(&revokes_done, 1);
            sched_yield();
        }
        return (void *)bad;
    }
    for (unsigned i = 0; i < ROUNDS; i++)
        bad += derive_and_wait(&random);
    atomic_fetch_sub(&deriving, 1);
    return (void *)bad;
}

static void what_was_derived_before_a_revoke_is_gone_after_it(void **state) {
    (void)state;
    build();
    thing = new_object();
    parent = (uint32_t)cap_insert(&the_units[0], &thing, GMK_RIGHTS_ALL, 0);
    atomic_store(&deriving, CPUS - 1);
    run_all(derive_or_revoke);
    assert_int_equal(ends, 0);
    assert_int_equal(cap_drop(&the_units[0], parent), GMK_OK);
    for (unsigned i = 1; i < UNITS; i++)
        for (unsigned slot = 0; slot < GMK_CAPS_MAX; slot++)
            assert_false(
                valid(&the_units[i], GMK_HANDLE(slot, the_units[i].caps[slot].head >> 32)));
}

/* ---- Everybody wants the same ------------------------------------------------------------------- */

#define SHARED 16u

static struct object things[SHARED];
static _Atomic uint32_t shared[SHARED]; /* handle << 2 | unit, as last heard */
static _Atomic uint32_t lost, dropped;

/* First capabilities wander through the tables; each is somewhere, or on its way, until it is dropped. */
static void *move_and_drop(void *arg) {
    uint64_t random = 362436069u + (uintptr_t)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned which = (unsigned)(random_of(&random) % SHARED);
        uint32_t seen = atomic_load(&shared[which]);
        if (seen == 0)
            continue;
        struct unit *from = &the_units[seen & 3], *to = &the_units[random_of(&random) % UNITS];
        uint32_t handle = seen >> 2;
        if (random_of(&random) % 64 == 0) {
            if (cap_drop(from, handle) == GMK_OK) {
                atomic_fetch_add(&dropped, 1);
                atomic_store(&shared[which], 0);
            }
            continue;
        }
        int64_t moved = cap_move(from, handle, to);
        if (moved > 0) /* ours alone to tell */
            atomic_store(&shared[which], (uint32_t)moved << 2 | to->index);
        else
            atomic_fetch_add(&lost, 1);
    }
    return NULL;
}

static void one_of_those_who_move_or_drop_it_succeeds(void **state) {
    (void)state;
    /* Ten times, and on a busy machine until they have met. */
    for (unsigned round = 0; round < 10 || (lost == 0 && round < 1000); round++) {
        build();
        atomic_store(&dropped, 0);
        for (unsigned i = 0; i < SHARED; i++) {
            things[i] = new_object();
            uint32_t handle = (uint32_t)cap_insert(&the_units[0], &things[i], 31, 0);
            atomic_store(&shared[i], handle << 2);
        }
        run_all(move_and_drop);
        assert_int_equal(ends, dropped);
        unsigned left = 0;
        for (unsigned i = 0; i < UNITS; i++)
            left += cap_count(&the_units[i]);
        assert_int_equal(left, SHARED - dropped);
    }
    assert_true(lost > 0);
}

/* ---- Looking while slots change hands ----------------------------------------------------------- */

static struct object pair[2];
static _Atomic unsigned looking;

/* Two objects alternate in few slots. Badge and object belong together, in every look. */
static void *look_or_change(void *arg) {
    struct unit *unit = &the_units[0];
    uint64_t random = 521288629u + (uintptr_t)arg;
    uintptr_t bad = 0;
    struct cap_view view;
    if ((uintptr_t)arg >= 2) {
        while (atomic_load(&looking) > 0) {
            unsigned which = (unsigned)random_of(&random) & 1;
            uint32_t first = (uint32_t)cap_insert(unit, &pair[which], 31, which + 1);
            int64_t second = cap_derive(unit, first, unit, 31, 0);
            bad += second <= 0 || cap_revoke(unit, first) != GMK_OK;
            struct content content;
            bad += take_out(unit, first, 0, &content) != GMK_OK;
        }
        return (void *)bad;
    }
    for (unsigned i = 0; i < 100 * ROUNDS; i++) {
        unsigned slot = 1 + (unsigned)(random_of(&random) % 255);
        uint32_t generation = (uint32_t)(atomic_load(&unit->caps[slot].head) >> 32);
        if (cap_get(unit, unit->caps, GMK_HANDLE(slot, generation), GMK_CAP_PORT, 31, &view) !=
            GMK_OK)
            continue;
        bad += view.object != &pair[view.badge - 1] || view.serial != view.object->serial;
    }
    atomic_fetch_sub(&looking, 1);
    return (void *)bad;
}

static void a_look_never_mixes_two_capabilities(void **state) {
    (void)state;
    build();
    pair[0] = new_object();
    pair[1] = new_object();
    atomic_store(&looking, 2);
    run_all(look_or_change);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_derived_before_a_revoke_is_gone_after_it),
        cmocka_unit_test(one_of_those_who_move_or_drop_it_succeeds),
        cmocka_unit_test(a_look_never_mixes_two_capabilities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
