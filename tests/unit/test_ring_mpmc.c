/* Tests: the task ring for many producers and consumers. Goal: every edge of its contract,
 * one thread at a time; concurrency is in test_lin_ring.c, stress_ring.c and
 * tests/model/ring_mpmc.pml. A peer that stops in the middle of an operation is played by
 * calling the claiming half alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/ring_mpmc.h"

static struct ring_mpmc *make(uint64_t capacity, uint64_t start) {
    struct ring_mpmc *ring = NULL;
    size_t bytes = ring_mpmc_bytes(capacity);
    void *memory = aligned_alloc(GMK_FALSE_SHARING, bytes);

    assert_non_null(memory);
    memset(memory, 0xa5, bytes);
    assert_int_equal(ring_mpmc_init_at(&ring, memory, bytes, capacity, start), GMK_OK);
    assert_ptr_equal(ring, memory);
    return ring;
}

static bool push(struct ring_mpmc *ring, uint64_t value) {
    gmk_task_t task = {.type = 1, .meta0 = value, .when_ns = ~value};
    return ring_push_mpmc(ring, &task);
}

static uint64_t pop(struct ring_mpmc *ring) {
    gmk_task_t task = {0};
    if (!ring_pop_mpmc(ring, &task))
        return UINT64_MAX;
    assert_int_equal(task.type, 1);
    assert_true(task.when_ns == ~task.meta0);
    return task.meta0;
}

static void holds_exactly_its_capacity(void **state) {
    (void)state;
    for (uint64_t capacity = 2; capacity <= 256; capacity *= 2) {
        struct ring_mpmc *ring = make(capacity, 0);
        for (unsigned lap = 0; lap < 3; lap++) {
            for (uint64_t i = 0; i < capacity; i++)
                assert_true(push(ring, i));
            assert_false(push(ring, 999));
            assert_int_equal(ring_count_mpmc(ring), capacity);
            for (uint64_t i = 0; i < capacity; i++)
                assert_int_equal(pop(ring), i);
            assert_true(pop(ring) == UINT64_MAX);
            assert_true(ring_empty_mpmc(ring));
        }
        free(ring);
    }
}

static void carries_every_byte_of_a_task_but_the_turn(void **state) {
    struct ring_mpmc *ring = make(2, 7);
    gmk_task_t in[2], out[2];
    (void)state;
    for (size_t i = 0; i < sizeof in; i++)
        ((unsigned char *)in)[i] = (unsigned char)(i * 3 + 1);
    const size_t skip = offsetof(gmk_task_t, type);
    assert_true(ring_push_mpmc(ring, &in[0]));
    assert_true(ring_pop_mpmc(ring, &out[0]));
    assert_memory_equal((char *)&out[0] + skip, (char *)&in[0] + skip, sizeof in[0] - skip);
    assert_int_equal(ring_push_n_mpmc(ring, in, 2), 2);
    assert_int_equal(ring_pop_n_mpmc(ring, out, 2), 2);
    for (unsigned i = 0; i < 2; i++)
        assert_memory_equal((char *)&out[i] + skip, (char *)&in[i] + skip, sizeof in[0] - skip);
    free(ring);
}

static void keeps_order_across_the_wraps_of_turns_and_positions(void **state) {
    const uint64_t starts[] = {UINT32_MAX - 9u, UINT32_MAX,        UINT64_MAX - 9u,
                               UINT64_MAX,      UINT64_C(5) << 32, 1};
    (void)state;
    for (size_t s = 0; s < sizeof starts / sizeof starts[0]; s++) {
        struct ring_mpmc *ring = make(4, starts[s]);
        uint64_t in = 0, out = 0;
        assert_true(pop(ring) == UINT64_MAX);
        while (out < 40) {
            while (push(ring, in))
                in++;
            assert_int_equal(in - out, 4);
            assert_int_equal(pop(ring), out++);
            assert_int_equal(pop(ring), out++);
            assert_int_equal(ring_count_mpmc(ring), 2);
        }
        free(ring);
    }
}

static void bulk_takes_as_many_as_fit(void **state) {
    struct ring_mpmc *ring = make(8, UINT32_MAX - 2u);
    gmk_task_t in[16] = {{0}}, out[16];
    (void)state;
    for (uint64_t i = 0; i < 16; i++)
        in[i].meta0 = i;
    assert_int_equal(ring_push_n_mpmc(ring, in, 0), 0);
    assert_int_equal(ring_pop_n_mpmc(ring, out, 16), 0);
    assert_int_equal(ring_push_n_mpmc(ring, in, 5), 5);
    assert_int_equal(ring_push_n_mpmc(ring, in + 5, 11), 3);
    assert_int_equal(ring_push_n_mpmc(ring, in, 1), 0);
    assert_int_equal(ring_pop_n_mpmc(ring, out, 0), 0);
    assert_int_equal(ring_pop_n_mpmc(ring, out, 3), 3);
    assert_int_equal(ring_push_n_mpmc(ring, in + 8, 8), 3);
    assert_int_equal(ring_pop_n_mpmc(ring, out + 3, 13), 8);
    for (uint64_t i = 0; i < 11; i++)
        assert_int_equal(out[i].meta0, i);
    free(ring);
}

static void bulk_counts_beyond_the_capacity_are_safe(void **state) {
    struct ring_mpmc *ring = make(2, 0);
    gmk_task_t tasks[2] = {{.meta0 = 1}, {.meta0 = 2}};
    (void)state;
    assert_int_equal(ring_push_n_mpmc(ring, tasks, SIZE_MAX), 2);
    assert_int_equal(ring_pop_n_mpmc(ring, tasks, SIZE_MAX), 2);
    assert_int_equal(tasks[1].meta0, 2);
    free(ring);
}

/* Finishes a push or pop that a test began with ring_claim_push() or ring_claim_pop(). */
static void finish_push(struct ring_mpmc *ring, uint64_t pos, uint64_t value) {
    union ring_cell *cell = &ring->cells[pos & (ring->capacity - 1)];
    gmk_task_t task = {.type = 1, .meta0 = value, .when_ns = ~value};
    ring_cell_fill(cell, &task);
    atomic_store_explicit(&cell->turn, (uint32_t)(pos + 1), memory_order_release);
}

static void finish_pop(struct ring_mpmc *ring, uint64_t pos) {
    atomic_store_explicit(&ring->freed[pos & (ring->capacity - 1)],
                          (uint32_t)(pos + ring->capacity), memory_order_release);
}

static void a_stopped_producer_delays_only_what_is_behind_its_cell(void **state) {
    struct ring_mpmc *ring = make(4, 0);
    uint64_t pos;
    (void)state;
    assert_true(push(ring, 1));
    assert_int_equal(ring_claim_push(ring, 1, &pos), 1); /* stopped here */
    assert_true(push(ring, 3));
    assert_true(push(ring, 4));
    assert_false(push(ring, 5));
    assert_int_equal(pop(ring), 1);
    assert_true(pop(ring) == UINT64_MAX);
    assert_false(ring_empty_mpmc(ring)); /* so nobody goes to sleep on it */
    assert_true(push(ring, 5));
    finish_push(ring, pos, 2);
    for (uint64_t i = 2; i <= 5; i++)
        assert_int_equal(pop(ring), i);
    assert_true(ring_empty_mpmc(ring));
    free(ring);
}

static void a_stopped_consumer_delays_only_the_reuse_of_its_cells(void **state) {
    struct ring_mpmc *ring = make(4, 0);
    uint64_t pos;
    (void)state;
    for (uint64_t i = 0; i < 4; i++)
        assert_true(push(ring, i));
    assert_true(ring_full_mpmc(ring));
    assert_int_equal(ring_claim_pop(ring, 2, &pos), 2); /* stopped here, holds 0 and 1 */
    assert_int_equal(pop(ring), 2);
    assert_false(push(ring, 4));        /* the next cell is one of the two */
    assert_false(ring_full_mpmc(ring)); /* and yet there are fewer tasks than cells */
    assert_int_equal(pop(ring), 3);
    assert_true(pop(ring) == UINT64_MAX);
    finish_pop(ring, pos);
    assert_true(push(ring, 4));
    assert_false(push(ring, 5));
    finish_pop(ring, pos + 1);
    assert_true(push(ring, 5));
    assert_int_equal(pop(ring), 4);
    assert_int_equal(pop(ring), 5);
    free(ring);
}

static void count_never_leaves_its_range(void **state) {
    struct ring_mpmc *ring = make(4, 10);
    (void)state;
    /* What a reader may see when the two positions change between its two loads. */
    atomic_store(&ring->pop_pos, 12);
    assert_int_equal(ring_count_mpmc(ring), 0);
    atomic_store(&ring->pop_pos, 2);
    assert_int_equal(ring_count_mpmc(ring), 4);
    assert_int_equal(ring_capacity_mpmc(ring), 4);
    free(ring);
}

static void refuses_bad_shapes(void **state) {
    (void)state;
    assert_int_equal(ring_mpmc_bytes(0), 0);
    assert_int_equal(ring_mpmc_bytes(1), 0);
    assert_int_equal(ring_mpmc_bytes(6), 0);
    assert_int_equal(ring_mpmc_bytes(RING_CAPACITY_MAX * 2), 0);
    assert_int_equal(ring_mpmc_bytes(UINT64_C(1) << 63), 0);
    assert_true(ring_mpmc_bytes(2) >= sizeof(struct ring_mpmc) + 2 * sizeof(gmk_task_t));
}

static void refuses_bad_memory_and_writes_nothing(void **state) {
    struct ring_mpmc *ring = NULL;
    size_t bytes = ring_mpmc_bytes(8);
    unsigned char *memory = aligned_alloc(GMK_FALSE_SHARING, bytes + GMK_FALSE_SHARING);
    (void)state;
    memset(memory, 0x5a, bytes + GMK_FALSE_SHARING);
    assert_int_equal(ring_mpmc_init(NULL, memory, bytes, 8), GMK_EINVAL);
    assert_int_equal(ring_mpmc_init(&ring, NULL, bytes, 8), GMK_EINVAL);
    assert_int_equal(ring_mpmc_init(&ring, memory + 64, bytes, 8), GMK_EINVAL);
    assert_int_equal(ring_mpmc_init(&ring, memory, bytes, 9), GMK_EINVAL);
    assert_int_equal(ring_mpmc_init(&ring, memory, bytes - 1, 8), GMK_ENOMEM);
    assert_null(ring);
    for (size_t i = 0; i < bytes + GMK_FALSE_SHARING; i++)
        assert_int_equal(memory[i], 0x5a);
    free(memory);
}

static void keeps_written_words_apart(void **state) {
    (void)state;
    assert_true(offsetof(struct ring_mpmc, push_pos) >= GMK_FALSE_SHARING);
    assert_true(offsetof(struct ring_mpmc, pop_pos) - offsetof(struct ring_mpmc, push_pos) >=
                GMK_FALSE_SHARING);
    assert_true(sizeof(struct ring_mpmc) - offsetof(struct ring_mpmc, pop_pos) >=
                GMK_FALSE_SHARING);
    struct ring_mpmc *ring = make(2, 0);
    assert_int_equal((uintptr_t)ring->cells % GMK_CACHE_LINE, 0);
    free(ring);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_exactly_its_capacity),
        cmocka_unit_test(carries_every_byte_of_a_task_but_the_turn),
        cmocka_unit_test(keeps_order_across_the_wraps_of_turns_and_positions),
        cmocka_unit_test(bulk_takes_as_many_as_fit),
        cmocka_unit_test(bulk_counts_beyond_the_capacity_are_safe),
        cmocka_unit_test(a_stopped_producer_delays_only_what_is_behind_its_cell),
        cmocka_unit_test(a_stopped_consumer_delays_only_the_reuse_of_its_cells),
        cmocka_unit_test(count_never_leaves_its_range),
        cmocka_unit_test(refuses_bad_shapes),
        cmocka_unit_test(refuses_bad_memory_and_writes_nothing),
        cmocka_unit_test(keeps_written_words_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
