/* Tests: the local queue. Goal: every edge of its contract, one thread at a time; races with
 * thieves are in test_lin_localq.c, stress_localq.c and tests/model/localq.pml. A thief that
 * stops in the middle of a copy is played by setting the lag of `head`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/localq.h"

static struct localq *make(uint32_t capacity, uint64_t start) {
    struct localq *q = NULL;
    size_t bytes = localq_bytes(capacity);
    void *memory = aligned_alloc(GMK_FALSE_SHARING, bytes);

    assert_non_null(memory);
    memset(memory, 0xa5, bytes);
    assert_int_equal(localq_init_at(&q, memory, bytes, capacity, start), GMK_OK);
    assert_ptr_equal(q, memory);
    return q;
}

static gmk_task_t task_of(uint64_t value) {
    return (gmk_task_t){.type = 1, .meta0 = value, .when_ns = ~value};
}

static uint64_t value_of(const gmk_task_t *task) {
    assert_int_equal(task->type, 1);
    assert_true(task->when_ns == ~task->meta0);
    return task->meta0;
}

static bool push(struct localq *q, uint64_t value) {
    gmk_task_t task = task_of(value);
    return localq_push(q, &task);
}

static bool push_newest(struct localq *q, uint64_t value) {
    gmk_task_t task = task_of(value);
    return localq_push_newest(q, &task);
}

static uint64_t pop(struct localq *q) {
    gmk_task_t task;
    return localq_pop(q, &task) ? value_of(&task) : UINT64_MAX;
}

static uint64_t pop_newest(struct localq *q) {
    gmk_task_t task;
    return localq_pop_newest(q, &task) ? value_of(&task) : UINT64_MAX;
}

static void holds_exactly_its_capacity(void **state) {
    (void)state;
    for (uint32_t capacity = 2; capacity <= 512; capacity *= 2) {
        struct localq *q = make(capacity, 0);
        assert_int_equal(localq_space(q), capacity);
        for (uint64_t i = 0; i < capacity; i++)
            assert_true(push(q, i));
        assert_false(push(q, 999));
        assert_int_equal(localq_space(q), 0);
        assert_int_equal(localq_count(q), capacity);
        for (uint64_t i = 0; i < capacity; i++)
            assert_int_equal(pop(q), i);
        assert_true(pop(q) == UINT64_MAX);
        assert_int_equal(localq_count(q), 0);
        free(q);
    }
}

static void keeps_order_across_the_wrap_of_its_positions(void **state) {
    const uint64_t starts[] = {UINT32_MAX - 5u, LOCALQ_POS_MASK - 5u, LOCALQ_POS_MASK,
                               UINT64_MAX - 3u, 65533};
    (void)state;
    for (size_t s = 0; s < sizeof starts / sizeof starts[0]; s++) {
        struct localq *q = make(4, starts[s]);
        struct localq *thief = make(4, starts[s] + 1);
        gmk_task_t first;
        uint64_t in = 0, out = 0;
        while (out < 40) {
            while (push(q, in))
                in++;
            assert_int_equal(in - out, 4);
            assert_int_equal(pop(q), out++);
            assert_int_equal(localq_steal(q, thief, &first), 2);
            assert_int_equal(value_of(&first), out++);
            assert_int_equal(pop(thief), out++);
            assert_int_equal(localq_count(q), 1);
            assert_int_equal(localq_space(q), 3);
        }
        free(q);
        free(thief);
    }
}

static void bulk_push_takes_as_many_as_fit(void **state) {
    struct localq *q = make(8, LOCALQ_POS_MASK - 2);
    gmk_task_t tasks[10];
    (void)state;
    for (uint64_t i = 0; i < 10; i++)
        tasks[i] = task_of(i);
    assert_int_equal(localq_push_n(q, tasks, 0), 0);
    assert_int_equal(localq_push_n(q, tasks, 5), 5);
    assert_int_equal(localq_push_n(q, tasks + 5, 5), 3);
    assert_int_equal(localq_push_n(q, tasks, 1), 0);
    for (uint64_t i = 0; i < 8; i++)
        assert_int_equal(pop(q), i);
    free(q);
}

static void a_thief_gets_the_oldest_half_in_order(void **state) {
    (void)state;
    for (uint64_t count = 0; count <= 16; count++) {
        struct localq *q = make(16, 100), *thief = make(16, 3);
        gmk_task_t first;
        for (uint64_t i = 0; i < count; i++)
            assert_true(push(q, i));
        size_t stolen = localq_steal(q, thief, &first);
        assert_int_equal(stolen, count - count / 2);
        for (uint64_t i = 0; i < stolen; i++)
            assert_int_equal(i == 0 ? value_of(&first) : pop(thief), i);
        for (uint64_t i = stolen; i < count; i++)
            assert_int_equal(pop(q), i);
        assert_true(pop(q) == UINT64_MAX);
        assert_int_equal(localq_count(thief), 0);
        assert_int_equal(localq_space(q), 16);
        free(q);
        free(thief);
    }
}

static void one_steal_is_bounded_by_name_and_by_the_thiefs_space(void **state) {
    struct localq *q = make(256, 0), *thief = make(4, 0), *wide = make(256, 0);
    gmk_task_t first;
    (void)state;
    for (uint64_t i = 0; i < 256; i++)
        assert_true(push(q, i));
    assert_int_equal(localq_steal(q, wide, &first), LOCALQ_STEAL_MAX);
    assert_int_equal(localq_count(wide), LOCALQ_STEAL_MAX - 1);
    assert_int_equal(localq_steal(q, thief, &first), 5); /* four slots and *first */
    assert_int_equal(localq_steal(q, thief, &first), 1); /* none and *first */
    assert_int_equal(value_of(&first), LOCALQ_STEAL_MAX + 5);
    assert_int_equal(localq_count(q), 256 - LOCALQ_STEAL_MAX - 6);
    free(q);
    free(thief);
    free(wide);
}

static void a_stopped_thief_stops_only_other_thieves(void **state) {
    struct localq *q = make(4, LOCALQ_POS_MASK), *thief = make(4, 0);
    gmk_task_t first;
    (void)state;
    for (uint64_t i = 0; i < 4; i++)
        assert_true(push(q, i));
    /* It has claimed 0 and 1 and copies them. */
    uint64_t real = localq_head_real(atomic_load(&q->head));
    atomic_store(&q->head, localq_head_pack(real + 2, 2));
    assert_int_equal(localq_steal(q, thief, &first), 0);
    assert_false(push(q, 4)); /* the slots it reads are not given away */
    assert_int_equal(pop(q), 2);
    assert_int_equal(localq_space(q), 0);
    assert_int_equal(localq_count(q), 1);
    /* It ends. */
    uint64_t head = atomic_load(&q->head);
    assert_int_equal(localq_head_lag(head), 3);
    atomic_store(&q->head, localq_head_pack(localq_head_real(head), 0));
    assert_int_equal(localq_space(q), 3);
    assert_true(push(q, 4));
    assert_int_equal(pop(q), 3);
    assert_int_equal(pop(q), 4);
    free(q);
    free(thief);
}

static void the_newest_slot_runs_first_and_displaces_to_the_end(void **state) {
    struct localq *q = make(4, 0);
    (void)state;
    assert_true(pop_newest(q) == UINT64_MAX);
    assert_true(push(q, 1));
    assert_true(push_newest(q, 2));
    assert_int_equal(localq_count(q), 2);
    assert_true(push_newest(q, 3));
    assert_int_equal(pop_newest(q), 3);
    assert_true(pop_newest(q) == UINT64_MAX);
    assert_int_equal(pop(q), 1);
    assert_int_equal(pop(q), 2);
    assert_int_equal(localq_count(q), 0);
    free(q);
}

static void a_full_queue_refuses_a_newest_that_would_displace(void **state) {
    struct localq *q = make(2, 0);
    (void)state;
    assert_true(push(q, 1));
    assert_true(push(q, 2));
    assert_true(push_newest(q, 3)); /* the slot itself was free */
    assert_int_equal(localq_count(q), 3);
    assert_false(push_newest(q, 4));
    assert_int_equal(pop_newest(q), 3);
    assert_int_equal(pop(q), 1);
    assert_int_equal(pop(q), 2);
    free(q);
}

static void the_newest_slot_can_be_stolen(void **state) {
    struct localq *q = make(2, 0);
    gmk_task_t task = {0};
    (void)state;
    assert_false(localq_steal_newest(q, &task));
    assert_true(push_newest(q, 7));
    assert_true(localq_steal_newest(q, &task));
    assert_int_equal(value_of(&task), 7);
    assert_true(pop_newest(q) == UINT64_MAX);
    /* While a thief copies, a new task goes to the ring. */
    atomic_store(&q->newest_state, LOCALQ_NEWEST_LEAVING);
    assert_true(push_newest(q, 8));
    assert_false(localq_steal_newest(q, &task));
    assert_true(pop_newest(q) == UINT64_MAX);
    assert_int_equal(pop(q), 8);
    free(q);
}

static void refill_moves_from_the_ring_as_many_as_fit(void **state) {
    struct localq *q = make(8, 5); /* so that free slots wrap */
    struct ring_mpmc *ring;
    size_t bytes = ring_mpmc_bytes(32);
    void *memory = aligned_alloc(GMK_FALSE_SHARING, bytes);
    (void)state;
    assert_int_equal(ring_mpmc_init(&ring, memory, bytes, 32), GMK_OK);
    assert_int_equal(localq_refill(q, ring, 4), 0);
    for (uint64_t i = 0; i < 20; i++) {
        gmk_task_t task = task_of(i);
        assert_true(ring_push_mpmc(ring, &task));
    }
    assert_int_equal(localq_refill(q, ring, 0), 0);
    assert_int_equal(localq_refill(q, ring, 2), 2);
    assert_int_equal(localq_refill(q, ring, 100), 6);
    assert_int_equal(localq_refill(q, ring, 100), 0);
    for (uint64_t i = 0; i < 8; i++)
        assert_int_equal(pop(q), i);
    assert_int_equal(localq_refill(q, ring, 100), 8);
    for (uint64_t i = 8; i < 16; i++)
        assert_int_equal(pop(q), i);
    assert_int_equal(localq_refill(q, ring, 100), 4);
    assert_int_equal(localq_count(q), 4);
    free(q);
    free(memory);
}

static void count_never_leaves_its_range(void **state) {
    struct localq *q = make(4, 10);
    (void)state;
    /* What a reader may see when head and tail change between its two loads. */
    atomic_store(&q->head, localq_head_pack(12, 0));
    assert_int_equal(localq_count(q), 0);
    atomic_store(&q->head, localq_head_pack(2, 0));
    assert_int_equal(localq_count(q), 4);
    assert_int_equal(localq_capacity(q), 4);
    free(q);
}

static void refuses_bad_shapes_and_memory(void **state) {
    struct localq *q = NULL;
    size_t bytes = localq_bytes(LOCALQ_SLOTS);
    unsigned char *memory = aligned_alloc(GMK_FALSE_SHARING, bytes + GMK_FALSE_SHARING);
    (void)state;
    memset(memory, 0x5a, bytes + GMK_FALSE_SHARING);
    assert_int_equal(localq_bytes(0), 0);
    assert_int_equal(localq_bytes(1), 0);
    assert_int_equal(localq_bytes(100), 0);
    assert_int_equal(localq_bytes(LOCALQ_CAPACITY_MAX * 2), 0);
    assert_int_equal(localq_init(NULL, memory, bytes, LOCALQ_SLOTS), GMK_EINVAL);
    assert_int_equal(localq_init(&q, NULL, bytes, LOCALQ_SLOTS), GMK_EINVAL);
    assert_int_equal(localq_init(&q, memory + 64, bytes, LOCALQ_SLOTS), GMK_EINVAL);
    assert_int_equal(localq_init(&q, memory, bytes, 3), GMK_EINVAL);
    assert_int_equal(localq_init(&q, memory, bytes - 1, LOCALQ_SLOTS), GMK_ENOMEM);
    assert_null(q);
    for (size_t i = 0; i < bytes + GMK_FALSE_SHARING; i++)
        assert_int_equal(memory[i], 0x5a);
    free(memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_exactly_its_capacity),
        cmocka_unit_test(keeps_order_across_the_wrap_of_its_positions),
        cmocka_unit_test(bulk_push_takes_as_many_as_fit),
        cmocka_unit_test(a_thief_gets_the_oldest_half_in_order),
        cmocka_unit_test(one_steal_is_bounded_by_name_and_by_the_thiefs_space),
        cmocka_unit_test(a_stopped_thief_stops_only_other_thieves),
        cmocka_unit_test(the_newest_slot_runs_first_and_displaces_to_the_end),
        cmocka_unit_test(a_full_queue_refuses_a_newest_that_would_displace),
        cmocka_unit_test(the_newest_slot_can_be_stolen),
        cmocka_unit_test(refill_moves_from_the_ring_as_many_as_fit),
        cmocka_unit_test(count_never_leaves_its_range),
        cmocka_unit_test(refuses_bad_shapes_and_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
