/* Tests: recorded histories of both rings are linearizable. Method: small rings, so that
 * full, empty and every wrap occur all the time; random single and bulk operations; lin.h
 * judges. The MPMC ring is held to the weak rule for "empty" and "full" that its header
 * states, and to the strict one when no two peers do the same thing at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/ring_mpmc.h"
#include "tests/lib/lin_drive.h"

static void expect_pass(const struct lin_thread *threads, unsigned n, struct lin_rules rules,
                        uint64_t seed) {
    struct lin_log logs[LIN_THREADS_MAX];
    lin_logs(threads, n, logs);
    struct lin_verdict verdict = lin_check_fifo(logs, n, rules);
    if (verdict.fault != NULL)
        fail_msg("seed %llu, capacity %llu: %s %llx", (unsigned long long)seed,
                 (unsigned long long)rules.capacity, verdict.fault,
                 (unsigned long long)verdict.value);
}

/* ---- MPMC ------------------------------------------------------------------------------ */

static void mpmc_push(struct lin_thread *self) {
    gmk_task_t tasks[LIN_BULK] = {{0}};
    size_t want = lin_random(self, 3) == 0 ? 1 + lin_random(self, LIN_BULK) : 1;
    size_t count;

    for (size_t i = 0; i < want; i++)
        tasks[i].meta0 = lin_value(self);
    uint64_t begin = lin_tick();
    if (want == 1)
        count = ring_push_mpmc(self->queue, tasks);
    else
        count = ring_push_n_mpmc(self->queue, tasks, want);
    uint64_t end = lin_tick();
    for (size_t i = 0; i < count; i++)
        (void)lin_add(&self->log, LIN_PUSH, begin, end, tasks[i].meta0);
    if (count == 0)
        (void)lin_add(&self->log, LIN_FULL, begin, end, 0);
}

static void mpmc_pop(struct lin_thread *self) {
    gmk_task_t tasks[LIN_BULK];
    size_t want = lin_random(self, 3) == 0 ? 1 + lin_random(self, LIN_BULK) : 1;
    size_t count;

    uint64_t begin = lin_tick();
    if (want == 1)
        count = ring_pop_mpmc(self->queue, tasks);
    else
        count = ring_pop_n_mpmc(self->queue, tasks, want);
    uint64_t end = lin_tick();
    for (size_t i = 0; i < count; i++)
        (void)lin_add(&self->log, LIN_POP, begin, end, tasks[i].meta0);
    if (count == 0)
        (void)lin_add(&self->log, LIN_EMPTY, begin, end, 0);
}

static void check_mpmc(lin_step *const *steps, unsigned n, bool weak) {
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct lin_thread threads[LIN_THREADS_MAX];
        struct ring_mpmc *ring;
        uint64_t capacity = UINT64_C(2) << seed % 4;
        size_t bytes = ring_mpmc_bytes(capacity);
        void *memory = aligned_alloc(GMK_FALSE_SHARING, bytes);
        uint64_t start = seed % 3 == 0 ? UINT64_MAX - 500 : UINT32_MAX - UINT64_C(500) * (seed % 2);
        assert_int_equal(ring_mpmc_init_at(&ring, memory, bytes, capacity, start), GMK_OK);
        lin_run(threads, steps, n, ring, seed);
        expect_pass(threads, n, (struct lin_rules){capacity, weak}, seed);
        lin_free(threads, n);
        free(memory);
    }
}

static void mpmc_2_producers_2_consumers(void **state) {
    lin_step *const steps[] = {mpmc_push, mpmc_push, mpmc_pop, mpmc_pop};
    (void)state;
    check_mpmc(steps, 4, true);
}

static void mpmc_3_producers_1_consumer(void **state) {
    lin_step *const steps[] = {mpmc_push, mpmc_push, mpmc_push, mpmc_pop};
    (void)state;
    check_mpmc(steps, 4, true);
}

static void mpmc_1_producer_3_consumers(void **state) {
    lin_step *const steps[] = {mpmc_push, mpmc_pop, mpmc_pop, mpmc_pop};
    (void)state;
    check_mpmc(steps, 4, true);
}

static void mpmc_1_producer_1_consumer_answers_exactly(void **state) {
    lin_step *const steps[] = {mpmc_push, mpmc_pop};
    (void)state;
    check_mpmc(steps, 2, false);
}

/* ---- SPSC ------------------------------------------------------------------------------ */

struct message {
    uint64_t value, copies[5];
};

static void spsc_push(struct lin_thread *self) {
    struct message messages[LIN_BULK];
    size_t want = lin_random(self, 3) == 0 ? 1 + lin_random(self, LIN_BULK) : 1;
    size_t count;

    for (size_t i = 0; i < want; i++) {
        uint64_t value = lin_value(self);
        messages[i] = (struct message){value, {value, value, value, value, value}};
    }
    uint64_t begin = lin_tick();
    if (want == 1)
        count = ring_push_spsc(self->queue, messages, sizeof messages[0]);
    else
        count = ring_push_n_spsc(self->queue, messages, want, sizeof messages[0]);
    uint64_t end = lin_tick();
    for (size_t i = 0; i < count; i++)
        (void)lin_add(&self->log, LIN_PUSH, begin, end, messages[i].value);
    if (count < want)
        (void)lin_add(&self->log, LIN_FULL, begin, end, 0);
}

static void spsc_pop(struct lin_thread *self) {
    struct message messages[LIN_BULK];
    size_t want = lin_random(self, 3) == 0 ? 1 + lin_random(self, LIN_BULK) : 1;
    size_t count;

    uint64_t begin = lin_tick();
    if (want == 1)
        count = ring_pop_spsc(self->queue, messages, sizeof messages[0]);
    else
        count = ring_pop_n_spsc(self->queue, messages, want, sizeof messages[0]);
    uint64_t end = lin_tick();
    for (size_t i = 0; i < count; i++) {
        /* A torn message would not be found among the pushes. */
        uint64_t value =
            messages[i].value == messages[i].copies[4] ? messages[i].value : UINT64_MAX;
        (void)lin_add(&self->log, LIN_POP, begin, end, value);
    }
    if (count < want)
        (void)lin_add(&self->log, LIN_EMPTY, begin, end, 0);
}

static void spsc_answers_exactly(void **state) {
    lin_step *const steps[] = {spsc_push, spsc_pop};
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct lin_thread threads[2];
        struct ring_spsc *ring;
        uint64_t capacity = UINT64_C(1) << seed % 5;
        size_t bytes = ring_spsc_bytes(capacity, sizeof(struct message));
        void *memory = aligned_alloc(GMK_FALSE_SHARING, bytes);
        assert_int_equal(ring_spsc_init_at(&ring, memory, bytes, capacity, sizeof(struct message),
                                           UINT64_MAX - 500),
                         GMK_OK);
        lin_run(threads, steps, 2, ring, seed);
        expect_pass(threads, 2, (struct lin_rules){capacity, false}, seed);
        lin_free(threads, 2);
        free(memory);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mpmc_2_producers_2_consumers),
        cmocka_unit_test(mpmc_3_producers_1_consumer),
        cmocka_unit_test(mpmc_1_producer_3_consumers),
        cmocka_unit_test(mpmc_1_producer_1_consumer_answers_exactly),
        cmocka_unit_test(spsc_answers_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
