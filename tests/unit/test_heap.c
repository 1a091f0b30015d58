/* Test of heap: order of equal keys, full 64-bit keys, agreement with qsort. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/heap.h"
#include "lib/rand.h"

static struct heap make(uint32_t capacity) {
    struct heap heap;
    size_t bytes = heap_bytes(capacity);
    size_t rounded = (bytes + GMK_CACHE_LINE) / GMK_CACHE_LINE * GMK_CACHE_LINE;
    void *memory = aligned_alloc(GMK_CACHE_LINE, rounded);
    assert_non_null(memory);
    heap_init(&heap, memory, capacity);
    return heap;
}

static void destroy(struct heap *heap) {
    free(heap->tasks);
}

static bool push(struct heap *heap, uint64_t due_ns, uint64_t order, uint64_t mark) {
    gmk_task_t task = {.type = 1, .meta0 = mark, .meta1 = ~mark};
    return heap_push(heap, due_ns, order, &task);
}

static uint64_t pop_mark(struct heap *heap) {
    gmk_task_t task;
    assert_true(heap_pop(heap, &task));
    assert_int_equal(task.meta1, ~task.meta0);
    return task.meta0;
}

static void an_empty_heap_has_nothing_to_give(void **state) {
    (void)state;
    struct heap heap = make(4);
    gmk_task_t task = {.meta0 = 7};
    uint64_t due = 9;
    assert_false(heap_pop(&heap, &task));
    assert_false(heap_peek_due(&heap, &due));
    assert_int_equal(task.meta0, 7);
    assert_int_equal(due, 9);
    assert_int_equal(heap_count(&heap), 0);
    destroy(&heap);
}

static void a_full_heap_refuses_and_changes_nothing(void **state) {
    (void)state;
    struct heap heap = make(3);
    for (uint64_t i = 0; i < 3; i++) {
        assert_true(push(&heap, 10 + i, i, i));
    }
    assert_false(push(&heap, 1, 9, 99));
    assert_true(heap_check(&heap));
    assert_int_equal(heap_count(&heap), 3);
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(pop_mark(&heap), i);
    }
    destroy(&heap);
}

static void a_heap_of_capacity_zero_is_empty_and_full(void **state) {
    (void)state;
    struct heap heap = make(0);
    gmk_task_t task;
    assert_false(push(&heap, 1, 1, 1));
    assert_false(heap_pop(&heap, &task));
    assert_true(heap_check(&heap));
    destroy(&heap);
}

static void due_time_decides_before_order(void **state) {
    (void)state;
    struct heap heap = make(8);
    push(&heap, 20, 0, 3);
    push(&heap, 10, 2, 2);
    push(&heap, 10, 1, 1);
    uint64_t due = 0;
    assert_true(heap_peek_due(&heap, &due));
    assert_int_equal(due, 10);
    assert_int_equal(pop_mark(&heap), 1);
    assert_int_equal(pop_mark(&heap), 2);
    assert_int_equal(pop_mark(&heap), 3);
    destroy(&heap);
}

/* An earlier system packed the order into 16 bits: event 65,536 overtook all others. */
static void two_hundred_thousand_events_due_together_fire_in_the_order_they_came(void **state) {
    (void)state;
    enum { EVENTS = 200000 };
    struct heap heap = make(EVENTS);
    for (uint64_t i = 0; i < EVENTS; i++) {
        assert_true(push(&heap, 1000, i, i));
    }
    for (uint64_t i = 0; i < EVENTS; i++) {
        uint64_t mark = pop_mark(&heap);
        if (mark != i) {
            fail_msg("event %llu fired when %llu was expected", (unsigned long long)mark,
                     (unsigned long long)i);
        }
    }
    destroy(&heap);
}

static void keys_compare_in_all_64_bits(void **state) {
    (void)state;
    static const uint64_t rising[] = {0,
                                      1,
                                      UINT16_MAX,
                                      UINT64_C(1) << 16,
                                      UINT32_MAX,
                                      UINT64_C(1) << 32,
                                      INT64_MAX,
                                      UINT64_C(1) << 63,
                                      UINT64_MAX - 1,
                                      UINT64_MAX};
    const size_t count = sizeof rising / sizeof rising[0];
    struct heap heap = make(16);
    for (size_t i = count; i > 0; i--) {
        push(&heap, 5, rising[i - 1], rising[i - 1]);
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pop_mark(&heap), rising[i]);
    }
    for (size_t i = count; i > 0; i--) { /* and as due times, against the order */
        push(&heap, rising[i - 1], UINT64_MAX - rising[i - 1], rising[i - 1]);
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pop_mark(&heap), rising[i]);
    }
    destroy(&heap);
}

struct key {
    uint64_t due_ns, order;
};

static int by_key(const void *a, const void *b) {
    const struct key *x = a, *y = b;
    if (x->due_ns != y->due_ns) {
        return x->due_ns < y->due_ns ? -1 : 1;
    }
    return (x->order > y->order) - (x->order < y->order);
}

static void any_input_comes_out_as_qsort_would_order_it(void **state) {
    (void)state;
    enum { MOST = 300, ROUNDS = 200 };
    struct rand_state rand = rand_seed(42);
    struct key keys[MOST];
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t count = rand_below(&rand, MOST) + 1;
        uint32_t spread = rand_below(&rand, 1000) + 1; /* small: many are due together */
        struct heap heap = make(count);
        for (uint32_t i = 0; i < count; i++) {
            keys[i] = (struct key){rand_below(&rand, spread), i};
            push(&heap, keys[i].due_ns, keys[i].order, i);
        }
        assert_true(heap_check(&heap));
        qsort(keys, count, sizeof keys[0], by_key);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(pop_mark(&heap), keys[i].order);
        }
        destroy(&heap);
    }
}

/* The model is an array searched for its smallest key. */
static void mixed_pushes_and_pops_follow_a_simple_model(void **state) {
    (void)state;
    enum { CAPACITY = 64, STEPS = 20000 };
    struct rand_state rand = rand_seed(7);
    struct heap heap = make(CAPACITY);
    struct key model[CAPACITY];
    uint32_t used = 0;
    for (uint64_t step = 0; step < STEPS; step++) {
        if (rand_below(&rand, 2) == 0) {
            struct key key = {rand_below(&rand, 50), step};
            assert_int_equal(push(&heap, key.due_ns, key.order, key.order), used < CAPACITY);
            if (used < CAPACITY) {
                model[used++] = key;
            }
        } else if (used > 0) {
            qsort(model, used, sizeof model[0], by_key);
            uint64_t due = 0;
            assert_true(heap_peek_due(&heap, &due));
            assert_int_equal(due, model[0].due_ns);
            assert_int_equal(pop_mark(&heap), model[0].order);
            memmove(model, model + 1, --used * sizeof model[0]);
        }
        assert_int_equal(heap_count(&heap), used);
        if (step % 64 == 0) {
            assert_true(heap_check(&heap));
        }
    }
    destroy(&heap);
}

static void the_check_sees_a_broken_heap(void **state) {
    (void)state;
    struct heap heap = make(4);
    push(&heap, 1, 1, 1);
    push(&heap, 2, 2, 2);
    assert_true(heap_check(&heap));
    heap.nodes[0].due_ns = 3; /* a parent after its child */
    assert_false(heap_check(&heap));
    heap.nodes[0].due_ns = 1;
    heap.nodes[1].task = heap.nodes[0].task; /* one task twice */
    assert_false(heap_check(&heap));
    heap.nodes[1].task = 77;
    assert_false(heap_check(&heap));
    heap.nodes[1].task = 1;
    heap.count = 5;
    assert_false(heap_check(&heap));
    destroy(&heap);
}

static void the_size_is_what_the_parts_need(void **state) {
    (void)state;
    assert_int_equal(heap_bytes(0), 0);
    assert_int_equal(heap_bytes(100), 100 * (sizeof(gmk_task_t) + sizeof(struct heap_node)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_heap_has_nothing_to_give),
        cmocka_unit_test(a_full_heap_refuses_and_changes_nothing),
        cmocka_unit_test(a_heap_of_capacity_zero_is_empty_and_full),
        cmocka_unit_test(due_time_decides_before_order),
        cmocka_unit_test(two_hundred_thousand_events_due_together_fire_in_the_order_they_came),
        cmocka_unit_test(keys_compare_in_all_64_bits),
        cmocka_unit_test(any_input_comes_out_as_qsort_would_order_it),
        cmocka_unit_test(mixed_pushes_and_pops_follow_a_simple_model),
        cmocka_unit_test(the_check_sees_a_broken_heap),
        cmocka_unit_test(the_size_is_what_the_parts_need),
    };
    return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
