/* Test of units' memory in the guest, below the system calls: real page tables, real interrupts between
 * CPUs. Leaves allow what was asked for, CPUs leave a space that ends, and all CPUs at once lose nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ggmk/error.h"
#include "kernel/core/cpu.h"
#include "kernel/irq/irq.h"
#include "kernel/mem/frame.h"
#include "kernel/mem/space.h"
#include "kernel/mem/vm.h"
#include "kernel/sched/thread.h"
#include "kernel/time/timer.h"

#define PAGES  24u
#define ROUNDS 60u
#define RW     (GMK_PROT_READ | GMK_PROT_WRITE)
#define RX     (GMK_PROT_READ | GMK_PROT_EXEC)
#define RWX    (RW | GMK_PROT_EXEC)

static uint64_t user_frames(void) {
    struct frame_stats stats;
    frame_stats(&stats);
    return stats.by_owner[FRAME_USER] + stats.by_owner[FRAME_MEMORY_TREE] +
           stats.by_owner[FRAME_USER_TABLE];
}

/* What ended may still lie with the reaper's task for a moment. */
static bool frames_return_to(uint64_t before) {
    uint64_t end = time_now_ns() + UINT64_C(10000000000);
    while (user_frames() != before && time_now_ns() < end)
        sched_yield();
    return user_frames() == before;
}

static struct memory *new_object(void) {
    struct memory *memory = NULL;
    assert_int_equal(memory_create(NULL, GMK_MEMORY_ANON, PAGES * PAGE_SIZE, &memory), GMK_OK);
    return memory;
}

static uint64_t map(struct space *space, struct memory *memory, unsigned prot) {
    int64_t at =
        space_map(space, memory, memory->object.serial, 0, 0, PAGES * PAGE_SIZE, prot, RWX);
    assert_true(at > 0);
    return (uint64_t)at;
}

static unsigned rights_at(const struct space *space, uint64_t va) {
    struct page_info info;
    return arch_page_query(space->root, va, &info) == GMK_OK ? info.prot : 0;
}

static void leaves_allow_what_was_asked_for(void **state) {
    (void)state;
    static struct space space;
    uint64_t before = user_frames();
    bool irq = arch_irq_disable();
    assert_int_equal(space_init(&space, NULL, 12345), GMK_OK);
    struct memory *memory = new_object();
    uint64_t data = map(&space, memory, RW), code = map(&space, memory, RX);
    uint64_t both = map(&space, memory, RWX | GMK_MAP_WX);
    assert_int_equal(rights_at(&space, data), 0); /* nothing before the first touch */
    assert_int_equal(space_fault(&space, data, false, false), GMK_OK);
    assert_int_equal(space_fault(&space, code, false, true), GMK_OK);
    assert_int_equal(space_fault(&space, both, true, false), GMK_OK);
    assert_int_equal(rights_at(&space, data), PAGE_USER | PAGE_WRITE);
    assert_int_equal(rights_at(&space, code), PAGE_USER | PAGE_EXEC);
    assert_int_equal(rights_at(&space, both), PAGE_USER | PAGE_WRITE | PAGE_EXEC);
    assert_int_equal(space_fault(&space, data, false, true), GMK_EFAULT);
    assert_int_equal(space_fault(&space, code, true, false), GMK_EFAULT);
    assert_int_equal(space_fault(&space, data - PAGE_SIZE, false, false), GMK_EFAULT);
    assert_int_equal(space_fault(&space, UINT64_C(0xffff800000000000), false, false), GMK_EFAULT);
    space_check(&space);
    memory_check(memory);
    memory_end(memory, memory->object.serial);
    while (!space_end_step(&space)) {}
    arch_irq_restore(irq);
    assert_true(frames_return_to(before));
}

static struct space lazy;
static _Atomic unsigned strays;

static void load_lazy(void *arg) {
    (void)arg;
    atomic_store(&cpu_this()->space, &lazy);
    arch_space_load(lazy.root, lazy.tag, false);
}

static void look_for_strays(void *arg) {
    (void)arg;
    if (atomic_load(&cpu_this()->space) == &lazy || arch_page_root() != vm_kernel_root())
        atomic_fetch_add(&strays, 1);
}

static void cpus_that_have_a_dying_space_loaded_leave_it(void **state) {
    (void)state;
    uint64_t before = user_frames();
    bool irq = arch_irq_disable();
    assert_int_equal(space_init(&lazy, NULL, 1), GMK_OK);
    ipi_call_others(load_lazy, NULL);
    load_lazy(NULL);
    assert_int_equal(arch_page_root(), lazy.root);
    while (!space_end_step(&lazy)) {}
    ipi_call_others(look_for_strays, NULL);
    look_for_strays(NULL);
    arch_irq_restore(irq);
    assert_int_equal(atomic_load(&strays), 0);
    assert_true(frames_return_to(before));
}

/* ---- All CPUs at once --------------------------------------------------------------------------- */

static struct memory *common;
static _Atomic unsigned failures;

static void need(bool good) {
    if (!good)
        atomic_fetch_add(&failures, 1);
}

/* All steps of it. */
static void unmap(struct space *space, uint64_t at) {
    uint64_t done = 0;
    while (done < PAGES * PAGE_SIZE) {
        int64_t step = space_unmap_step(space, at + done, PAGES * PAGE_SIZE - done);
        need(step > 0);
        done += step > 0 ? (uint64_t)step : PAGES * PAGE_SIZE;
    }
}

/* Touches pages of the common object and of a clone of it, in a space of its own. IF off. */
static void one_round(struct space *space, uint32_t serial, unsigned round) {
    struct memory *clone = NULL;
    int64_t ready = memory_clone(NULL, PAGES * PAGE_SIZE, &clone);
    if (ready != GMK_OK) {
        need(false);
        return;
    }
    uint32_t life = clone->object.serial;
    int64_t at = space_map(space, common, serial, 0, 0, PAGES * PAGE_SIZE, RW, RW);
    need(at > 0 && space_fault(space, (uint64_t)at + round % PAGES * PAGE_SIZE, true, false) == 0);
    while (ready >= 0 && ready < (int64_t)(PAGES * PAGE_SIZE))
        ready = memory_clone_step(common, serial, 0, clone, life);
    need(ready == PAGES * PAGE_SIZE);
    int64_t copy = space_map(space, clone, life, 0, 0, PAGES * PAGE_SIZE, RW, RW);
    memory_end(clone, life);
    need(copy > 0);
    for (unsigned i = 0; i < 6; i++) {
        uint64_t page = (round * 7 + i * 5) % PAGES * PAGE_SIZE;
        need(space_fault(space, (uint64_t)at + page, i % 2 == 0, false) == GMK_OK);
        need(space_fault(space, (uint64_t)copy + page, i % 3 == 0, false) == GMK_OK);
    }
    need(space_protect_step(space, (uint64_t)at, PAGES * PAGE_SIZE, GMK_PROT_READ) > 0);
    unmap(space, (uint64_t)at);
    if (round % 2 == 0)
        unmap(space, (uint64_t)copy);
}

static void one_cpu(void *arg) {
    static struct space spaces[CPUS_MAX];
    uint32_t serial = (uint32_t)(uintptr_t)arg;
    for (unsigned round = 0; round < ROUNDS; round++) {
        bool irq = arch_irq_disable();
        struct space *space = &spaces[cpu_this()->index];
        need(space_init(space, NULL, round * 0x1111111ull) == GMK_OK);
        atomic_store(&cpu_this()->space, space);
        arch_space_load(space->root, space->tag, false);
        for (unsigned i = 0; i < 4; i++)
            one_round(space, serial, round + i);
        space_check(space);
        while (!space_end_step(space)) {}
        arch_irq_restore(irq);
    }
}

static void all_cpus_share_and_copy_at_once_and_nothing_is_lost(void **state) {
    (void)state;
    struct thread *threads[CPUS_MAX];
    uint64_t before = user_frames();
    common = new_object();
    uint32_t serial = common->object.serial;
    for (unsigned i = 0; i < cpu_count; i++) {
        threads[i] = thread_start("space", 0, THREAD_PRIORITY_NORMAL, (int)i, one_cpu,
                                  (void *)(uintptr_t)serial);
        assert_non_null(threads[i]);
    }
    for (unsigned i = 0; i < cpu_count; i++)
        thread_join(threads[i]);
    assert_int_equal(atomic_load(&failures), 0);
    bool irq = arch_irq_disable();
    memory_check(common);
    memory_end(common, serial);
    arch_irq_restore(irq);
    assert_true(frames_return_to(before));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_allow_what_was_asked_for),
        cmocka_unit_test(cpus_that_have_a_dying_space_loaded_leave_it),
        cmocka_unit_test(all_cpus_share_and_copy_at_once_and_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
