/* Tests: the ring for one producer and one consumer. Goal: every edge of its contract, one
 * thread at a time; concurrency is in test_lin_ring.c and stress_ring.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/ring_spsc.h"

struct message {
    uint64_t word[6];
};

static struct ring_spsc *make(uint64_t capacity, uint64_t start) {
    struct ring_spsc *ring = NULL;
    size_t bytes = ring_spsc_bytes(capacity, sizeof(struct message));
    void *memory = aligned_alloc(GMK_FALSE_SHARING, bytes);

    assert_non_null(memory);
    assert_int_equal(
        ring_spsc_init_at(&ring, memory, bytes, capacity, sizeof(struct message), start), GMK_OK);
    assert_ptr_equal(ring, memory);
    return ring;
}

static bool push(struct ring_spsc *ring, uint64_t value) {
    struct message m = {{value, 1, 2, 3, 4, ~value}};
    return ring_push_spsc(ring, &m, sizeof m);
}

static uint64_t pop(struct ring_spsc *ring) {
    struct message m = {{0}};
    if (!ring_pop_spsc(ring, &m, sizeof m))
        return UINT64_MAX;
    assert_int_equal(m.word[3], 3);
    assert_true(m.word[5] == ~m.word[0]);
    return m.word[0];
}

static void holds_exactly_its_capacity(void **state) {
    (void)state;
    for (uint64_t capacity = 1; capacity <= 64; capacity *= 2) {
        struct ring_spsc *ring = make(capacity, 0);
        for (uint64_t i = 0; i < capacity; i++)
            assert_true(push(ring, i));
        assert_false(push(ring, 999));
        assert_int_equal(ring_count_spsc(ring), capacity);
        for (uint64_t i = 0; i < capacity; i++)
            assert_int_equal(pop(ring), i);
        assert_true(pop(ring) == UINT64_MAX);
        assert_true(ring_empty_spsc(ring));
        free(ring);
    }
}

static void keeps_order_across_the_wrap_of_its_positions(void **state) {
    const uint64_t starts[] = {UINT32_MAX - 5, UINT64_MAX - 5, UINT64_MAX, 3};
    (void)state;
    for (size_t s = 0; s < sizeof starts / sizeof starts[0]; s++) {
        struct ring_spsc *ring = make(4, starts[s]);
        uint64_t in = 0, out = 0;
        while (out < 40) {
            while (push(ring, in))
                in++;
            assert_int_equal(in - out, 4);
            assert_int_equal(pop(ring), out++);
            assert_int_equal(pop(ring), out++);
            assert_int_equal(ring_count_spsc(ring), 2);
        }
        free(ring);
    }
}

static void bulk_takes_as_many_as_fit(void **state) {
    struct ring_spsc *ring = make(8, UINT64_MAX - 2);
    struct message in[16], out[16];
    (void)state;
    for (uint64_t i = 0; i < 16; i++)
        in[i] = (struct message){{i, 0, 0, 0, 0, 0}};
    assert_int_equal(ring_push_n_spsc(ring, in, 0, sizeof in[0]), 0);
    assert_int_equal(ring_push_n_spsc(ring, in, 5, sizeof in[0]), 5);
    assert_int_equal(ring_push_n_spsc(ring, in + 5, 11, sizeof in[0]), 3);
    assert_int_equal(ring_push_n_spsc(ring, in, 1, sizeof in[0]), 0);
    assert_int_equal(ring_pop_n_spsc(ring, out, 3, sizeof out[0]), 3);
    assert_int_equal(ring_push_n_spsc(ring, in + 8, 8, sizeof in[0]), 3);
    assert_int_equal(ring_pop_n_spsc(ring, out + 3, 13, sizeof out[0]), 8);
    assert_int_equal(ring_pop_n_spsc(ring, out, 1, sizeof out[0]), 0);
    for (uint64_t i = 0; i < 11; i++)
        assert_int_equal(out[i].word[0], i);
    free(ring);
}

static void carries_elements_of_any_size_unchanged(void **state) {
    unsigned char in[200], out[200];
    (void)state;
    for (unsigned i = 0; i < sizeof in; i++)
        in[i] = (unsigned char)(i * 7 + 1);
#define ROUND_TRIP(size)                                                         \
    do {                                                                         \
        struct ring_spsc *ring;                                                  \
        size_t bytes = ring_spsc_bytes(4, size);                                 \
        void *memory = aligned_alloc(GMK_FALSE_SHARING, bytes);                  \
        assert_int_equal(ring_spsc_init(&ring, memory, bytes, 4, size), GMK_OK); \
        for (unsigned lap = 0; lap < 9; lap++) {                                 \
            memset(out, 0, sizeof out);                                          \
            assert_true(ring_push_spsc(ring, in + lap, size));                   \
            assert_true(ring_pop_spsc(ring, out, size));                         \
            assert_memory_equal(out, in + lap, size);                            \
            assert_int_equal(out[size], 0);                                      \
        }                                                                        \
        free(memory);                                                            \
    } while (0)
    ROUND_TRIP(1);
    ROUND_TRIP(4);
    ROUND_TRIP(7);
    ROUND_TRIP(8);
    ROUND_TRIP(13);
    ROUND_TRIP(48);
    ROUND_TRIP(64);
    ROUND_TRIP(100);
}

static void refuses_bad_shapes(void **state) {
    (void)state;
    assert_int_equal(ring_spsc_bytes(0, 8), 0);
    assert_int_equal(ring_spsc_bytes(3, 8), 0);
    assert_int_equal(ring_spsc_bytes(RING_CAPACITY_MAX * 2, 8), 0);
    assert_int_equal(ring_spsc_bytes(UINT64_MAX, 8), 0);
    assert_int_equal(ring_spsc_bytes(8, 0), 0);
    assert_int_equal(ring_spsc_bytes(8, RING_ELEM_SIZE_MAX + 1), 0);
    assert_int_equal(ring_spsc_bytes(8, SIZE_MAX), 0);
    assert_true(ring_spsc_bytes(1, 1) >= sizeof(struct ring_spsc) + 1);
    assert_true(ring_spsc_bytes(RING_CAPACITY_MAX, RING_ELEM_SIZE_MAX) >
                RING_CAPACITY_MAX * (uint64_t)RING_ELEM_SIZE_MAX);
}

static void refuses_bad_memory_and_writes_nothing(void **state) {
    struct ring_spsc *ring = NULL;
    size_t bytes = ring_spsc_bytes(8, 8);
    unsigned char *memory = aligned_alloc(GMK_FALSE_SHARING, bytes + GMK_FALSE_SHARING);
    (void)state;
    memset(memory, 0x5a, bytes + GMK_FALSE_SHARING);
    assert_int_equal(ring_spsc_init(NULL, memory, bytes, 8, 8), GMK_EINVAL);
    assert_int_equal(ring_spsc_init(&ring, NULL, bytes, 8, 8), GMK_EINVAL);
    assert_int_equal(ring_spsc_init(&ring, memory + 8, bytes, 8, 8), GMK_EINVAL);
    assert_int_equal(ring_spsc_init(&ring, memory, bytes, 7, 8), GMK_EINVAL);
    assert_int_equal(ring_spsc_init(&ring, memory, bytes, 8, 0), GMK_EINVAL);
    assert_int_equal(ring_spsc_init(&ring, memory, bytes - 1, 8, 8), GMK_ENOMEM);
    assert_null(ring);
    for (size_t i = 0; i < bytes + GMK_FALSE_SHARING; i++)
        assert_int_equal(memory[i], 0x5a);
    free(memory);
}

static void keeps_each_side_on_lines_of_its_own(void **state) {
    (void)state;
    assert_true(offsetof(struct ring_spsc, tail) - offsetof(struct ring_spsc, head) >=
                GMK_FALSE_SHARING);
    assert_true(sizeof(struct ring_spsc) - offsetof(struct ring_spsc, tail) >= GMK_FALSE_SHARING);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_exactly_its_capacity),
        cmocka_unit_test(keeps_order_across_the_wrap_of_its_positions),
        cmocka_unit_test(bulk_takes_as_many_as_fit),
        cmocka_unit_test(carries_elements_of_any_size_unchanged),
        cmocka_unit_test(refuses_bad_shapes),
        cmocka_unit_test(refuses_bad_memory_and_writes_nothing),
        cmocka_unit_test(keeps_each_side_on_lines_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
