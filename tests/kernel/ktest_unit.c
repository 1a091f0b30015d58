/* Test of units on the real machine: making one or anything in it fails at each allocation in turn and
 * leaves nothing behind; ending one gives back every frame and object; several end at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ggmk/error.h"
#include "kernel/cap/unit.h"
#include "kernel/ipc/channel.h"
#include "kernel/ipc/notify.h"
#include "kernel/ipc/port.h"
#include "kernel/mem/frame.h"
#include "kernel/mem/heap.h"
#include "kernel/mem/memory.h"
#include "kernel/sched/thread.h"

#define WAIT_NS 20000000000ull
#define FAILS   200u /* bounds the allocations of one attempt */
#define UNITS   24u

static struct factory *root, *budget;

/* A small machine has fewer than the tests would like. */
static uint64_t frames_for_tests(void) {
    return root->frames_max < 10000 ? root->frames_max / 2 : 8000;
}

static int make_root(void **state) {
    (void)state;
    int status;
    bool irq = arch_irq_disable();
    root = factory_root(1024);
    budget = root != NULL ? factory_split(root, frames_for_tests(), 2000, &status) : NULL;
    arch_irq_restore(irq);
    return budget == NULL;
}

static int end_root(void **state) {
    (void)state;
    bool irq = arch_irq_disable();
    factory_end(budget, budget->object.serial);
    assert_int_equal(root->frames_free, root->frames_max);
    assert_int_equal(root->objects_free, root->objects_max);
    factory_end(root, root->object.serial);
    arch_irq_restore(irq);
    return 0;
}

static bool is_whole(const struct factory *f) {
    return f->frames_free == f->frames_max && f->objects_free == f->objects_max;
}

static int make(struct unit **unit) {
    const gmk_unit_args_t args = {
        .name = "test", .frames = 100, .objects = 50, .priority_max = GMK_PRIORITY_MAX};
    bool irq = arch_irq_disable();
    int status = unit_create(budget, &args, GMK_PRIORITY_MAX, unit);
    arch_irq_restore(irq);
    return status;
}

static int make_thread(struct unit *unit, struct thread **out) {
    const gmk_thread_args_t args = {.name = "still",
                                    .entry = GMK_USER_MIN,
                                    .stack = GMK_USER_MIN,
                                    .priority = GMK_PRIORITY_NORMAL,
                                    .flags = GMK_THREAD_FPU};
    bool irq = arch_irq_disable();
    int status = thread_user_new(unit, &args, out);
    arch_irq_restore(irq);
    return status;
}

static void destroy(struct object *object) {
    bool irq = arch_irq_disable();
    object_destroy(object, object->serial);
    arch_irq_restore(irq);
}

static void until_whole(const struct factory *f) {
    uint64_t until = arch_time_ns() + WAIT_NS;
    while (!is_whole(f) && arch_time_ns() < until)
        sched_yield();
    assert_true(is_whole(f));
}

/* ---- Failing at each allocation ------------------------------------------------------------------ */

static void fail_at(uint32_t frame, uint32_t block) {
    frame_fail_after(frame);
    kheap_fail_after(block);
}

/* Makes an object with the n-th frame or block missing, for every n, until it succeeds although none is
 * missed. `try` returns NULL and the reason. Returns how often it failed. */
static unsigned fail_each(struct object *(*try)(struct factory *factory, int *status)) {
    unsigned failed = 0;
    for (unsigned blocks = 0; blocks < 2; blocks++)
        for (uint32_t n = 1;; n++) {
            assert_true(n < FAILS);
            int status = GMK_OK;
            bool irq = arch_irq_disable();
            fail_at(blocks ? 0 : n, blocks ? n : 0);
            struct object *made = try(budget, &status);
            fail_at(0, 0);
            arch_irq_restore(irq);
            if (made != NULL) {
                destroy(made);
                until_whole(budget);
                break;
            }
            failed++;
            assert_int_equal(status, GMK_ENOMEM);
            assert_true(is_whole(budget));
        }
    return failed;
}

static struct object *try_unit(struct factory *factory, int *status) {
    const gmk_unit_args_t args = {.name = "test", .frames = 100, .objects = 50};
    struct unit *unit;
    *status = unit_create(factory, &args, GMK_PRIORITY_MAX, &unit);
    return *status == GMK_OK ? &unit->object : NULL;
}
static struct object *try_split(struct factory *factory, int *status) {
    return (struct object *)factory_split(factory, 10, 10, status);
}
static struct object *try_wired(struct factory *factory, int *status) {
    struct memory *memory;
    *status = memory_create(factory, GMK_MEMORY_ANON, 5 * PAGE_SIZE, &memory);
    if (*status != GMK_OK)
        return NULL;
    for (uint64_t at = 0; at < 5 * PAGE_SIZE && *status == GMK_OK; at += PAGE_SIZE)
        *status = memory_write(memory, at, "page", 4);
    if (*status == GMK_OK)
        return &memory->object;
    memory_end(memory, memory->object.serial);
    return NULL;
}
static struct object *try_timer(struct factory *factory, int *status) {
    const struct notify_ref nobody = {0};
    return timercap_new(factory, &nobody, status);
}
static struct object *try_ioport(struct factory *factory, int *status) {
    return ioport_new(factory, 0x80, 1, status);
}
static struct object *try_registry(struct factory *factory, int *status) {
    struct object *all = registry_root();
    return registry_new(all, all->serial, factory, "ktest.", status);
}

static void making_any_object_fails_without_a_trace(void **state) {
    (void)state;
    assert_true(fail_each(try_unit) > 0);
    (void)fail_each(try_split);
    assert_true(fail_each(try_wired) > 0);
    (void)fail_each(port_new);
    (void)fail_each(notify_new);
    (void)fail_each(try_timer);
    (void)fail_each(try_ioport);
    (void)fail_each(try_registry);
}

/* New memory for the pools, too: until they are full there is always a next frame to miss. */
static void making_many_fails_at_the_pools_growth_as_well(void **state) {
    (void)state;
    static struct object *made[1000];
    unsigned count = 0, failed = 0;
    while (count < 1000 && failed < 3) {
        int status = GMK_OK;
        bool irq = arch_irq_disable();
        fail_at(1, 0);
        uint64_t before = budget->objects_free;
        made[count] = notify_new(budget, &status);
        fail_at(0, 0);
        if (made[count] == NULL) {
            failed++;
            assert_int_equal(status, GMK_ENOMEM);
            assert_int_equal(budget->objects_free, before);
            made[count] = notify_new(budget, &status);
        }
        arch_irq_restore(irq);
        assert_non_null(made[count++]);
    }
    assert_int_equal(failed, 3);
    while (count > 0)
        destroy(made[--count]);
    until_whole(budget);
}

static void making_a_thread_fails_without_a_trace(void **state) {
    (void)state;
    unsigned failed = 0;
    for (unsigned blocks = 0; blocks < 2; blocks++)
        for (uint32_t n = 1;; n++) {
            assert_true(n < FAILS);
            struct unit *unit;
            struct thread *t = NULL;
            assert_int_equal(make(&unit), GMK_OK);
            uint64_t frames = unit->factory->frames_free, objects = unit->factory->objects_free;
            bool irq = arch_irq_disable();
            fail_at(blocks ? 0 : n, blocks ? n : 0);
            int status = make_thread(unit, &t);
            fail_at(0, 0);
            if (status != GMK_OK) {
                failed++;
                assert_int_equal(status, GMK_ENOMEM);
                assert_int_equal(unit->factory->objects_free, objects);
                /* A page table may have come and stays for the next attempt. */
                assert_true(frames - unit->factory->frames_free < 4);
                assert_int_equal(unit->thread_count, 0);
                assert_int_equal(unit->msg_slots[0], 0);
            } else {
                thread_user_end(t, t->object.serial);
            }
            arch_irq_restore(irq);
            destroy(&unit->object);
            until_whole(budget);
            if (status == GMK_OK)
                break;
        }
    assert_true(failed > 0);
}

/* ---- Everything comes back ------------------------------------------------------------------------- */

/* A unit with threads, capabilities and mapped memory. */
static struct unit *make_full(unsigned threads) {
    struct unit *unit;
    assert_int_equal(make(&unit), GMK_OK);
    for (unsigned i = 0; i < threads; i++) {
        struct thread *t;
        assert_int_equal(make_thread(unit, &t), GMK_OK);
        bool irq = arch_irq_disable();
        assert_true(cap_insert(unit, &t->object, GMK_RIGHTS_ALL, 0) > 0);
        arch_irq_restore(irq);
    }
    bool irq = arch_irq_disable();
    struct memory *memory;
    assert_int_equal(memory_create(unit->factory, GMK_MEMORY_ANON, 1 << 20, &memory), GMK_OK);
    for (uint64_t at = 0; at < 20 * PAGE_SIZE; at += PAGE_SIZE)
        assert_int_equal(memory_write(memory, at, "page", 4), GMK_OK);
    assert_true(space_map(&unit->space, memory, memory->object.serial, 0, 0, 1 << 20,
                          GMK_PROT_READ | GMK_PROT_WRITE, GMK_PROT_READ | GMK_PROT_WRITE) > 0);
    assert_true(cap_insert(unit, &memory->object, GMK_RIGHTS_ALL, 0) > 0);
    int status;
    for (unsigned i = 0; i < 5; i++) {
        struct object *port = port_new(unit->factory, &status);
        assert_non_null(port);
        assert_true(cap_insert(unit, port, GMK_RIGHTS_ALL, 0) > 0);
    }
    arch_irq_restore(irq);
    return unit;
}

static uint64_t user_frames(void) {
    struct frame_stats stats;
    frame_stats(&stats);
    return stats.by_owner[FRAME_USER] + stats.by_owner[FRAME_USER_TABLE] +
           stats.by_owner[FRAME_MEMORY_TREE] + stats.by_owner[FRAME_OBJECT];
}

static void ending_units_gives_back_every_frame_and_object(void **state) {
    (void)state;
    static struct unit *units_made[UNITS];
    uint64_t frames = 0;
    for (unsigned round = 0; round < 6; round++) {
        for (unsigned i = 0; i < UNITS; i++)
            units_made[i] = make_full(1 + i % 10);
        for (unsigned i = 0; i < UNITS; i++) /* they end together, and some twice */
            if (i % 3 != 0) {
                bool irq = arch_irq_disable();
                unit_kill(units_made[i], 1);
                arch_irq_restore(irq);
            }
        for (unsigned i = 0; i < UNITS; i++)
            destroy(&units_made[i]->object);
        until_whole(budget);
        if (round == 2) /* the pools have grown by now */
            frames = user_frames();
        if (round >= 2)
            assert_int_equal(user_frames(), frames);
    }
    frame_check();
    kheap_check();
}

static void tables_hold_their_invariants_at_rest(void **state) {
    (void)state;
    struct unit *unit = make_full(10);
    bool irq = arch_irq_disable();
    cap_check_table(unit);
    arch_irq_restore(irq);
    destroy(&unit->object);
    until_whole(budget);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(making_any_object_fails_without_a_trace),
        cmocka_unit_test(making_many_fails_at_the_pools_growth_as_well),
        cmocka_unit_test(making_a_thread_fails_without_a_trace),
        cmocka_unit_test(ending_units_gives_back_every_frame_and_object),
        cmocka_unit_test(tables_hold_their_invariants_at_rest),
    };
    return cmocka_run_group_tests(tests, make_root, end_root);
}
