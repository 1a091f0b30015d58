/* Tests: the linearizability checker itself. Goal: each of its patterns is found in the
 * smallest history that has it, its nearest lawful neighbour passes, and a queue with a
 * planted race is caught by recorded histories. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/lin_drive.h"

static struct lin_verdict judge(const struct lin_op *ops, size_t n, struct lin_rules rules) {
    struct lin_op copy[16];
    memcpy(copy, ops, n * sizeof *ops);
    struct lin_log log = {copy, n, n};
    return lin_check_fifo(&log, 1, rules);
}

static const struct lin_rules STRICT = {0, false};
static const struct lin_rules WEAK = {0, true};

#define PASSES(rules, ...)                                                          \
    do {                                                                            \
        const struct lin_op ops[] = {__VA_ARGS__};                                  \
        struct lin_verdict verdict = judge(ops, sizeof ops / sizeof ops[0], rules); \
        if (verdict.fault != NULL)                                                  \
            fail_msg("expected a pass, got: %s", verdict.fault);                    \
    } while (0)
#define CAUGHT(pattern, rules, ...)                                                              \
    do {                                                                                         \
        const struct lin_op ops[] = {__VA_ARGS__};                                               \
        struct lin_verdict verdict = judge(ops, sizeof ops / sizeof ops[0], rules);              \
        if (verdict.fault == NULL || strncmp(verdict.fault, pattern, strlen(pattern)))           \
            fail_msg("expected " pattern ", got: %s", verdict.fault ? verdict.fault : "a pass"); \
    } while (0)
#define PUSH(b, e, v) \
    { b, e, v, LIN_PUSH }
#define POP(b, e, v) \
    { b, e, v, LIN_POP }
#define EMPTY(b, e) \
    { b, e, 0, LIN_EMPTY }
#define FULL(b, e) \
    { b, e, 0, LIN_FULL }

static void a_value_from_nowhere_is_caught(void **state) {
    (void)state;
    CAUGHT("fresh", STRICT, PUSH(1, 2, 10), POP(3, 4, 11));
    CAUGHT("fresh", STRICT, POP(1, 2, 10), PUSH(3, 4, 10));
    CAUGHT("fresh", STRICT, POP(1, 2, 10));
    PASSES(STRICT, POP(1, 4, 10), PUSH(2, 3, 10));
}

static void a_value_popped_twice_is_caught(void **state) {
    (void)state;
    CAUGHT("repeat", STRICT, PUSH(1, 2, 10), POP(3, 4, 10), POP(5, 6, 10));
}

static void overtaking_is_caught(void **state) {
    (void)state;
    CAUGHT("order", STRICT, PUSH(1, 2, 10), PUSH(3, 4, 11), POP(5, 6, 11), POP(7, 8, 10));
    CAUGHT("order", STRICT, PUSH(1, 2, 10), PUSH(3, 4, 11), POP(5, 6, 11));
    CAUGHT("order", WEAK, PUSH(1, 2, 10), PUSH(3, 4, 11), POP(5, 6, 11));
    PASSES(STRICT, PUSH(1, 4, 10), PUSH(2, 3, 11), POP(5, 6, 11), POP(7, 8, 10));
    PASSES(STRICT, PUSH(1, 2, 10), PUSH(3, 4, 11), POP(5, 8, 11), POP(6, 7, 10));
    PASSES(STRICT, PUSH(1, 2, 10), PUSH(3, 4, 11), POP(5, 6, 10));
}

static void a_false_empty_is_caught(void **state) {
    (void)state;
    CAUGHT("empty", STRICT, PUSH(1, 2, 10), EMPTY(3, 4), POP(5, 6, 10));
    CAUGHT("empty", STRICT, PUSH(1, 2, 10), EMPTY(3, 4));
    /* Two values cover the operation together, neither does alone. */
    CAUGHT("empty", STRICT, PUSH(1, 2, 10), PUSH(4, 5, 11), POP(6, 7, 10), EMPTY(3, 8));
    PASSES(STRICT, PUSH(1, 2, 10), POP(4, 5, 10), PUSH(6, 7, 11), EMPTY(3, 8));
    PASSES(STRICT, PUSH(1, 3, 10), EMPTY(2, 4), POP(5, 6, 10));
    PASSES(STRICT, EMPTY(1, 2), PUSH(3, 4, 10));
}

static void a_weak_empty_needs_an_unfinished_push_that_began_before(void **state) {
    (void)state;
    /* 10 was begun first and may be ahead of 11. */
    CAUGHT("empty", STRICT, PUSH(1, 9, 10), PUSH(2, 3, 11), EMPTY(4, 5));
    PASSES(WEAK, PUSH(1, 9, 10), PUSH(2, 3, 11), EMPTY(4, 5));
    /* It began after 11 was inside: it is behind it. */
    CAUGHT("empty", WEAK, PUSH(1, 2, 11), PUSH(3, 9, 10), EMPTY(4, 5));
    /* It is finished. */
    CAUGHT("empty", WEAK, PUSH(1, 4, 10), PUSH(2, 3, 11), EMPTY(5, 6));
}

static void a_false_full_is_caught(void **state) {
    const struct lin_rules two = {2, false}, two_weak = {2, true};
    (void)state;
    PASSES(two, PUSH(1, 2, 10), PUSH(3, 4, 11), FULL(5, 6));
    CAUGHT("full", two, PUSH(1, 2, 10), FULL(5, 6));
    CAUGHT("full", two, PUSH(1, 2, 10), PUSH(3, 4, 11), POP(5, 6, 10), FULL(7, 8));
    PASSES(two, PUSH(1, 2, 10), PUSH(3, 4, 11), POP(5, 8, 10), FULL(6, 7));
    PASSES(two, PUSH(1, 2, 10), PUSH(3, 6, 11), FULL(4, 5));
    /* The pop of 10 is not finished and may hold the next slot, though 11 has left. */
    CAUGHT("full", two, PUSH(1, 2, 10), PUSH(3, 4, 11), PUSH(20, 21, 12), POP(5, 19, 10),
           POP(6, 7, 11), FULL(8, 9));
    PASSES(two_weak, PUSH(1, 2, 10), PUSH(3, 4, 11), PUSH(20, 21, 12), POP(5, 19, 10),
           POP(6, 7, 11), FULL(8, 9));
}

static void a_value_pushed_twice_is_the_tests_own_fault(void **state) {
    (void)state;
    CAUGHT("the test", STRICT, PUSH(1, 2, 10), PUSH(3, 4, 10));
}

/* ---- a queue with a planted race ------------------------------------------------------- */

enum { BROKEN_SLOTS = LIN_STEPS };

/* Claims a slot with a load and a store instead of one step; now and then it gives way
 * in between, so that the race happens on any machine. */
struct broken {
    _Atomic uint64_t head, tail;
    _Atomic uint64_t slots[BROKEN_SLOTS];
};

static void gap(struct lin_thread *self) {
    if (lin_random(self, 8) == 0)
        sched_yield();
}

static void broken_push(struct lin_thread *self) {
    struct broken *q = self->queue;
    uint64_t begin = lin_tick(), value = lin_value(self) + 1;
    uint64_t head = atomic_load(&q->head);
    atomic_store(&q->slots[head % BROKEN_SLOTS], value);
    gap(self);
    atomic_store(&q->head, head + 1);
    (void)lin_add(&self->log, LIN_PUSH, begin, lin_tick(), value);
}

static void broken_pop(struct lin_thread *self) {
    struct broken *q = self->queue;
    uint64_t begin = lin_tick(), tail = atomic_load(&q->tail);
    if (tail >= atomic_load(&q->head)) {
        (void)lin_add(&self->log, LIN_EMPTY, begin, lin_tick(), 0);
        return;
    }
    uint64_t value = atomic_load(&q->slots[tail % BROKEN_SLOTS]);
    gap(self);
    atomic_store(&q->tail, tail + 1);
    (void)lin_add(&self->log, LIN_POP, begin, lin_tick(), value);
}

static void recorded_histories_catch_a_planted_race(void **state) {
    lin_step *const steps[] = {broken_push, broken_pop, broken_pop};
    static struct broken q;
    unsigned caught = 0;
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct lin_thread threads[3];
        struct lin_log logs[3];
        memset(&q, 0, sizeof q);
        lin_run(threads, steps, 3, &q, seed);
        lin_logs(threads, 3, logs);
        caught += lin_check_fifo(logs, 3, STRICT).fault != NULL;
        lin_free(threads, 3);
    }
    assert_true(caught >= 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_from_nowhere_is_caught),
        cmocka_unit_test(a_value_popped_twice_is_caught),
        cmocka_unit_test(overtaking_is_caught),
        cmocka_unit_test(a_false_empty_is_caught),
        cmocka_unit_test(a_weak_empty_needs_an_unfinished_push_that_began_before),
        cmocka_unit_test(a_false_full_is_caught),
        cmocka_unit_test(a_value_pushed_twice_is_the_tests_own_fault),
        cmocka_unit_test(recorded_histories_catch_a_planted_race),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
