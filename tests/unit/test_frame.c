/* Test of frames: no frame is given twice, accounts stay exact, every wrong free is caught, nodes are
 * kept, promises hold, and all of it with several CPUs at once. A thread plays a CPU. */
#define _GNU_SOURCE 1 /* MAP_ANONYMOUS */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <pthread.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "kernel/core/lock.c"
#include "kernel/mem/frame.c"
#include "kernel/mem/frame_boot.c"
#include "lib/rand.h"

/* What a CPU does while it waits for a lock; here nobody asks for anything. */
void shootdown_isr(void) {}

#define BASE      UINT64_C(0x1000000) /* of the fake RAM, 16 MiB in */
#define FRAMES    2048u
#define GAP       16u /* frames between the two spans */
#define LOW_COUNT 300u
#define CPUS      4u
#define STEPS     300000u

static struct cpu fake_cpus[CPUS];
static _Thread_local struct cpu *this_cpu = &fake_cpus[0];
static uint64_t bitmap_memory[2][FRAMES];
static uint64_t cache_memory[CPUS][128];

struct cpu *cpus[CPUS_MAX];
unsigned cpu_count = CPUS;

struct cpu *arch_cpu(void) {
    return this_cpu;
}
bool arch_irq_disable(void) {
    return true;
}
void arch_irq_restore(bool on) {
    (void)on;
}
uint64_t arch_cycles(void) {
    return 0;
}
void arch_relax(void) {
    sched_yield();
}
void gmk_assert_failed(const char *expr, const char *file, int line, const char *message) {
    (void)expr;
    mock_assert(0, message, file, line);
    abort();
}
void panic(const char *fmt, ...) {
    mock_assert(0, fmt, "panic", 0);
    abort();
}

static paddr_t address(uint64_t n) {
    return BASE + n * PAGE_SIZE;
}

static void *place(uint64_t at, size_t size) {
    void *memory = mmap((void *)at, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    assert_ptr_equal(memory, (void *)at);
    return memory;
}

/* Two spans: frames 0 .. 299, a gap of 16, and the rest; one frame of each has an owner. */
static int fresh(void **state) {
    (void)state;
    memset(frame_spans, 0, sizeof frame_spans);
    memset(frame_nodes, 0, sizeof frame_nodes);
    memset(&boot_cache, 0, sizeof boot_cache);
    memset(caches, 0, sizeof caches);
    memset(cache_memory, 0, sizeof cache_memory);
    memset(shared_owned, 0, sizeof shared_owned);
    frame_span_count = 0;
    frame_unclaimed = 0;
    fail_in = 0;
    caches[0] = &boot_cache;
    assert_true(frame_cache_bytes() <= sizeof cache_memory[0]);
    for (unsigned i = 0; i < CPUS; i++) {
        fake_cpus[i] = (struct cpu){.self = &fake_cpus[i], .index = i};
        cpus[i] = &fake_cpus[i];
    }
    this_cpu = &fake_cpus[0];
    place(page_down((uint64_t)(uintptr_t)frame_at(BASE >> PAGE_SHIFT)),
          FRAMES * sizeof(struct frame) + PAGE_SIZE);
    place(BASE, (size_t)FRAMES * PAGE_SIZE);
    frame_boot_owner(address(7), address(8), FRAME_IMAGE);
    frame_boot_owner(address(FRAMES - 1), address(FRAMES), FRAME_RESERVED);
    frame_span_add(BASE >> PAGE_SHIFT, LOW_COUNT, bitmap_memory[0]);
    frame_span_add((BASE >> PAGE_SHIFT) + LOW_COUNT + GAP, FRAMES - LOW_COUNT - GAP,
                   bitmap_memory[1]);
    return 0;
}

static uint64_t free_now(void) {
    struct frame_stats stats;
    frame_stats(&stats);
    frame_check();
    return stats.free;
}

static uint64_t owned_by(enum frame_owner owner) {
    struct frame_stats stats;
    frame_stats(&stats);
    return stats.by_owner[owner];
}

/* ---- One CPU ---------------------------------------------------------------------------------- */

static void all_memory_is_given_once_high_frames_first_and_comes_back(void **state) {
    (void)state;
    static paddr_t taken[FRAMES];
    uint64_t all = free_now();
    assert_int_equal(all, FRAMES - GAP - 2);
    for (unsigned round = 0; round < 3; round++) {
        uint64_t count = 0;
        while ((taken[count] = frame_alloc(FRAME_HEAP)) != 0)
            count++;
        assert_int_equal(count, all);
        assert_int_equal(free_now(), 0);
        assert_int_equal(owned_by(FRAME_HEAP), all);
        assert_true(taken[0] >= address(LOW_COUNT));
        assert_int_equal(frame_alloc_run(1, PAGE_SIZE, 0, FRAME_HEAP), 0);
        assert_int_equal(frame_alloc_on(0, FRAME_HEAP), 0);
        assert_false(frame_promise(1));
        while (count-- != 0)
            frame_free(taken[count]);
        assert_int_equal(free_now(), all);
        assert_int_equal(owned_by(FRAME_HEAP), 0);
    }
    assert_int_equal(owned_by(FRAME_IMAGE), 1);
    assert_int_equal(owned_by(FRAME_RESERVED), 1);
}

static void a_frame_is_described_where_there_is_ram_only(void **state) {
    (void)state;
    assert_null(frame_of(BASE - PAGE_SIZE));
    assert_null(frame_of(address(LOW_COUNT)));
    assert_null(frame_of(address(FRAMES)));
    assert_non_null(frame_of(address(0)));
    paddr_t frame = frame_alloc_zeroed(FRAME_SLAB);
    assert_int_equal(frame_of(frame)->owner, FRAME_SLAB);
    assert_int_equal(frame_of(frame)->refs, 1);
    assert_int_equal(*(uint64_t *)arch_phys(frame), 0);
    frame_free(frame);
}

static void wrong_frees_are_caught(void **state) {
    (void)state;
    paddr_t frame = frame_alloc(FRAME_HEAP);
    frame_free(frame);
    expect_assert_failure(frame_free(frame));
    expect_assert_failure(frame_free(address(LOW_COUNT)));
    expect_assert_failure(frame_free(address(7)));
    expect_assert_failure(frame_free(address(FRAMES - 1)));
    expect_assert_failure(frame_free(0));
    paddr_t other = frame_alloc(FRAME_HEAP);
    expect_assert_failure(frame_free(other + 8));
    expect_assert_failure(frame_free_run(other, 2));
    frame_check();
}

static void runs_are_aligned_below_their_limit_and_in_a_row(void **state) {
    (void)state;
    uint64_t all = free_now();
    paddr_t low = frame_alloc_run(3, PAGE_SIZE, address(10), FRAME_OTHER);
    assert_int_equal(low, address(0));
    assert_int_equal(frame_alloc_run(3, PAGE_SIZE, address(10), FRAME_OTHER), address(3));
    assert_int_equal(frame_alloc_run(3, PAGE_SIZE, address(10), FRAME_OTHER), 0); /* 7 is taken */
    paddr_t large = frame_alloc_run(512, PAGE_SIZE_2M, 0, FRAME_ENGINE);
    assert_int_not_equal(large, 0);
    assert_int_equal(large % PAGE_SIZE_2M, 0);
    assert_int_equal(owned_by(FRAME_ENGINE), 512);
    assert_int_equal(frame_alloc_run(FRAMES, PAGE_SIZE, 0, FRAME_ENGINE), 0);
    assert_int_equal(frame_alloc_run(0, PAGE_SIZE, 0, FRAME_ENGINE), 0);
    assert_int_equal(free_now(), all - 512 - 6);
    frame_free_run(large, 512);
    frame_free_run(low, 6);
    assert_int_equal(free_now(), all);
}

/* The slow truth: the first run in the highest span that has one. */
static paddr_t find_slowly(size_t count, uint64_t align) {
    for (unsigned s = frame_span_count; s-- != 0;) {
        uint64_t first = frame_spans[s].first, end = first + frame_spans[s].count;
        for (uint64_t at = (first + align - 1) / align * align; at + count <= end; at += align) {
            size_t n = 0;
            while (n < count && frame_at(at + n)->owner == FRAME_FREE)
                n++;
            if (n == count)
                return at << PAGE_SHIFT;
        }
    }
    return 0;
}

/* As an allocation of just this frame of the upper span. */
static void occupy(size_t bit) {
    struct frame_span *span = &frame_spans[1];
    if (!bitmap_test(&span->map, bit))
        return;
    bitmap_clear(&span->map, bit);
    span->free--;
    frame_unclaimed--;
    frame_at(span->first + bit)->owner = FRAME_OTHER;
    frame_account(FRAME_OTHER, 1);
}

static void a_run_is_found_wherever_there_is_one(void **state) {
    (void)state;
    struct rand_state random = rand_seed(17);
    unsigned found = 0;
    for (unsigned round = 0; round < 200; round++) {
        fresh(NULL);
        for (uint32_t n = rand_below(&random, 500); n != 0; n--) {
            occupy(rand_below(&random, FRAMES - LOW_COUNT - GAP - 1));
        }
        size_t count = 1 + rand_below(&random, 150);
        uint64_t align = UINT64_C(1) << rand_below(&random, 7);
        paddr_t expected = find_slowly(count, align);
        assert_int_equal(frame_alloc_run(count, align * PAGE_SIZE, 0, FRAME_HEAP), expected);
        found += expected >= address(LOW_COUNT);
        frame_check();
    }
    assert_true(found > 20 && found < 190);
}

static void a_promise_is_kept_when_nothing_else_is_left(void **state) {
    (void)state;
    static paddr_t taken[FRAMES];
    uint64_t all = free_now(), count = 0;
    assert_true(frame_promise(10));
    while ((taken[count] = frame_alloc(FRAME_HEAP)) != 0)
        count++;
    assert_int_equal(count, all - 10);
    assert_false(frame_promise(1));
    paddr_t kept = frame_alloc_promised(FRAME_STACK);
    assert_int_not_equal(kept, 0);
    assert_int_equal(free_now(), 9);
    assert_int_equal(frame_alloc(FRAME_HEAP), 0);
    frame_promise_drop(9);
    assert_int_not_equal(taken[count++] = frame_alloc(FRAME_HEAP), 0);
    frame_free(kept);
    while (count-- != 0)
        frame_free(taken[count]);
    assert_int_equal(free_now(), all);
    expect_assert_failure((void)frame_alloc_run(1, 100, 0, FRAME_HEAP));
}

static void the_nth_allocation_fails_once(void **state) {
    (void)state;
    for (uint32_t n = 1; n < 10; n++) {
        frame_fail_after(n);
        for (uint32_t i = 1; i < 20; i++) {
            paddr_t frame = frame_alloc(FRAME_HEAP);
            assert_int_equal(frame == 0, i == n);
            if (frame != 0)
                frame_free(frame);
        }
    }
}

/* ---- Nodes -------------------------------------------------------------------------------------- */

static void two_nodes(void) {
    const struct frame_part parts[] = {{address(100), address(200), 1},
                                       {address(1000), address(FRAMES), 1}};
    static const uint8_t distance[2][8] = {{10, 20}, {20, 10}};
    assert_true(frame_numa_split(parts, 2));
    for (unsigned node = 0; node < 2; node++)
        frame_numa_order(node, distance[node], 2);
}

static void frames_move_to_their_nodes_and_are_taken_from_the_nearest(void **state) {
    (void)state;
    static paddr_t taken[FRAMES];
    paddr_t before = frame_alloc(FRAME_OTHER);
    uint64_t total[2], free[2], all = free_now();
    two_nodes();
    frame_node_stats(0, &total[0], &free[0]);
    frame_node_stats(1, &total[1], &free[1]);
    assert_int_equal(total[1], 100 + FRAMES - 1000);
    assert_int_equal(total[0] + total[1], FRAMES - GAP);
    assert_true(free_now() < all); /* the new bitmaps */
    frame_free(before);
    frame_cache_drain();
    for (uint32_t home = 0; home < 2; home++) {
        fake_cpus[0].node = home;
        uint64_t count = 0, own;
        frame_node_stats(home, &total[home], &own);
        while ((taken[count] = frame_alloc(FRAME_HEAP)) != 0) {
            bool mine = frame_of(taken[count])->node == home;
            bool border = count / HALF == own / HALF; /* one filling of the cache has both */
            assert_true(border || mine == (count < own));
            count++;
        }
        assert_int_equal(free_now(), 0);
        while (count-- != 0)
            frame_free(taken[count]);
        frame_cache_drain();
    }
    assert_int_equal(frame_of(frame_alloc_on(1, FRAME_HEAP))->node, 1);
    assert_int_equal(frame_of(frame_alloc_on(0, FRAME_HEAP))->node, 0);
    assert_int_equal(frame_alloc_on(FRAME_NODES_MAX, FRAME_HEAP), 0);
    frame_check();
}

static void nodes_are_ordered_by_distance(void **state) {
    (void)state;
    static const uint8_t distance[8] = {40, 30, 10, 10, 20};
    static const uint8_t order[5] = {2, 3, 4, 1, 0};
    static const uint8_t order3[5] = {3, 2, 4, 1, 0};
    frame_numa_order(2, distance, 5);
    assert_memory_equal(frame_nodes[2].order, order, sizeof order);
    frame_numa_order(3, distance, 5);
    assert_memory_equal(frame_nodes[3].order, order3, sizeof order3);
}

static void too_many_pieces_leave_everything_as_it_was(void **state) {
    (void)state;
    struct frame_part parts[FRAME_SPANS_MAX];
    for (unsigned i = 0; i < FRAME_SPANS_MAX; i++)
        parts[i] = (struct frame_part){address(i * 4), address(i * 4 + 1), 1};
    uint64_t all = free_now();
    assert_false(frame_numa_split(parts, FRAME_SPANS_MAX));
    assert_int_equal(free_now(), all);
    assert_int_equal(frame_span_count, 2);
}

/* ---- Random steps, several CPUs ------------------------------------------------------------------- */

static _Atomic uint32_t holder[FRAMES + GAP];
static uint64_t seed;

static void take_note(paddr_t frame, size_t count, uint32_t who) {
    for (size_t i = 0; i < count; i++) {
        uint32_t old = atomic_exchange(&holder[(frame - BASE) / PAGE_SIZE + i], who);
        assert_int_equal(old, 0);
    }
}

static void drop_note(paddr_t frame, size_t count, uint32_t who) {
    for (size_t i = 0; i < count; i++) {
        uint32_t old = atomic_exchange(&holder[(frame - BASE) / PAGE_SIZE + i], 0);
        assert_int_equal(old, who);
    }
}

struct held {
    paddr_t frame;
    size_t count;
};

static void random_step(struct rand_state *random, struct held *held, size_t *count, size_t max,
                        uint32_t who) {
    struct held one = {0, 1};
    if (*count == max || (*count != 0 && rand_below(random, 2) == 0)) {
        size_t i = rand_below(random, (uint32_t)*count);
        one = held[i];
        held[i] = held[--*count];
        drop_note(one.frame, one.count, who);
        if (one.count == 1)
            frame_free(one.frame);
        else
            frame_free_run(one.frame, one.count);
        return;
    }
    switch (rand_below(random, 8)) {
    case 0:
        one.count = 1 + rand_below(random, 40);
        one.frame = frame_alloc_run(one.count, PAGE_SIZE, 0, FRAME_ENGINE);
        break;
    case 1:
        one.frame = frame_alloc_on(rand_below(random, 2), FRAME_STACK);
        break;
    case 2:
        if (frame_promise(2)) {
            one.frame = frame_alloc_promised(FRAME_HEAP);
            frame_promise_drop(1);
        }
        break;
    default:
        one.frame = frame_alloc(FRAME_SLAB);
    }
    if (one.frame != 0) {
        take_note(one.frame, one.count, who);
        held[(*count)++] = one;
    }
}

static void *one_cpu(void *arg) {
    static struct held all_held[CPUS][FRAMES];
    uint32_t index = (uint32_t)(uintptr_t)arg;
    struct held *held = all_held[index];
    struct rand_state random = rand_seed(seed + index);
    size_t count = 0;
    this_cpu = &fake_cpus[index];
    for (unsigned step = 0; step < STEPS; step++)
        random_step(&random, held, &count, 400 + 300 * (size_t)index, index + 1);
    while (count-- != 0) {
        drop_note(held[count].frame, held[count].count, index + 1);
        frame_free_run(held[count].frame, held[count].count);
    }
    return NULL;
}

static void cpus_never_share_a_frame_and_none_is_lost(void **state) {
    (void)state;
    const char *given = getenv("SEED");
    seed = given != NULL ? strtoull(given, NULL, 0) : 11;
    printf("SEED=%llu\n", (unsigned long long)seed);
    two_nodes();
    uint64_t all = free_now();
    pthread_t threads[CPUS];
    for (unsigned i = 0; i < CPUS; i++) {
        fake_cpus[i].node = i % 2;
        if (i != 2) /* one does without a cache */
            frame_cache_init(i, cache_memory[i]);
        pthread_create(&threads[i], NULL, one_cpu, (void *)(uintptr_t)i);
    }
    for (unsigned i = 0; i < CPUS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(free_now(), all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_memory_is_given_once_high_frames_first_and_comes_back, fresh),
        cmocka_unit_test_setup(a_frame_is_described_where_there_is_ram_only, fresh),
        cmocka_unit_test_setup(wrong_frees_are_caught, fresh),
        cmocka_unit_test_setup(runs_are_aligned_below_their_limit_and_in_a_row, fresh),
        cmocka_unit_test_setup(a_run_is_found_wherever_there_is_one, fresh),
        cmocka_unit_test_setup(a_promise_is_kept_when_nothing_else_is_left, fresh),
        cmocka_unit_test_setup(the_nth_allocation_fails_once, fresh),
        cmocka_unit_test_setup(frames_move_to_their_nodes_and_are_taken_from_the_nearest, fresh),
        cmocka_unit_test_setup(nodes_are_ordered_by_distance, fresh),
        cmocka_unit_test_setup(too_many_pieces_leave_everything_as_it_was, fresh),
        cmocka_unit_test_setup(cpus_never_share_a_frame_and_none_is_lost, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
