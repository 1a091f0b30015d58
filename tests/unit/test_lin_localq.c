/* Tests: recorded histories of the local queue with thieves are linearizable. Method: the
 * owner pushes and pops, two thieves steal; a steal is recorded as pops of its tasks. Exact
 * are the owner's answers: "empty" strictly, "full" with the room of an unfinished steal
 * counted as used. A thief that gets nothing says nothing (another may be at it), so that is
 * not recorded. What a thief put into its own queue must come out of it in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/localq.h"
#include "tests/lib/lin_drive.h"

enum { THREADS = 3 };

static struct localq *make(uint32_t capacity, uint64_t start) {
    struct localq *q;
    size_t bytes = localq_bytes(capacity);
    void *memory = aligned_alloc(GMK_FALSE_SHARING, bytes);
    assert_int_equal(localq_init_at(&q, memory, bytes, capacity, start), GMK_OK);
    return q;
}

static void owner_push(struct lin_thread *self) {
    gmk_task_t tasks[LIN_BULK] = {{0}};
    size_t want = lin_random(self, 3) == 0 ? 1 + lin_random(self, LIN_BULK) : 1;
    size_t count;

    for (size_t i = 0; i < want; i++)
        tasks[i].meta0 = lin_value(self);
    uint64_t begin = lin_tick();
    if (want == 1)
        count = localq_push(self->queue, tasks);
    else
        count = localq_push_n(self->queue, tasks, want);
    uint64_t end = lin_tick();
    for (size_t i = 0; i < count; i++)
        (void)lin_add(&self->log, LIN_PUSH, begin, end, tasks[i].meta0);
    if (count < want)
        (void)lin_add(&self->log, LIN_FULL, begin, end, 0);
}

static void owner_pop(struct lin_thread *self) {
    gmk_task_t task;
    uint64_t begin = lin_tick();
    bool got = localq_pop(self->queue, &task);
    (void)lin_add(&self->log, got ? LIN_POP : LIN_EMPTY, begin, lin_tick(), got ? task.meta0 : 0);
}

static void owner(struct lin_thread *self) {
    if (lin_random(self, 5) < 3)
        owner_push(self);
    else
        owner_pop(self);
}

static void thief(struct lin_thread *self) {
    struct localq *mine = self->own;
    gmk_task_t task;
    uint64_t begin = lin_tick();
    size_t count = localq_steal(self->queue, mine, &task);
    uint64_t end = lin_tick();

    if (count == 0)
        return;
    uint64_t last = task.meta0;
    (void)lin_add(&self->log, LIN_POP, begin, end, last);
    for (size_t i = 1; i < count; i++) {
        /* One owner numbers its tasks, so their order is the order of the numbers. A task
         * out of order is recorded as one that was never pushed. */
        bool good = localq_pop(mine, &task) && task.meta0 > last;
        last = task.meta0;
        (void)lin_add(&self->log, LIN_POP, begin, end, good ? last : UINT64_MAX);
    }
    if (localq_pop(mine, &task))
        (void)lin_add(&self->log, LIN_POP, begin, end, UINT64_MAX);
}

static void expect_pass(const struct lin_thread *threads, struct lin_rules rules, uint64_t seed) {
    struct lin_log logs[THREADS];
    lin_logs(threads, THREADS, logs);
    struct lin_verdict verdict = lin_check_fifo(logs, THREADS, rules);
    if (verdict.fault != NULL)
        fail_msg("seed %llu, capacity %llu: %s %llx", (unsigned long long)seed,
                 (unsigned long long)rules.capacity, verdict.fault,
                 (unsigned long long)verdict.value);
}

static void owner_and_two_thieves(void **state) {
    lin_step *const steps[THREADS] = {owner, thief, thief};
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct lin_thread threads[THREADS];
        uint32_t capacity = 2u << seed % 5;
        struct localq *q = make(capacity, seed % 2 ? LOCALQ_POS_MASK - 300 : UINT32_MAX - 300u);
        for (unsigned i = 1; i < THREADS; i++)
            threads[i].own = make(capacity, seed);
        lin_run(threads, steps, THREADS, q, seed);
        expect_pass(threads, (struct lin_rules){capacity, true}, seed);
        lin_free(threads, THREADS);
        for (unsigned i = 1; i < THREADS; i++)
            free(threads[i].own);
        free(q);
    }
}

/* ---- the newest slot -------------------------------------------------------------------- */

/* The slot is not FIFO against the ring; alone it is a queue of one. */
static void newest_owner(struct lin_thread *self) {
    struct localq *q = self->queue;
    gmk_task_t task = {0};
    uint64_t begin;

    if (lin_random(self, 2) == 0) {
        begin = lin_tick();
        bool got = localq_pop_newest(q, &task);
        (void)lin_add(&self->log, got ? LIN_POP : LIN_EMPTY, begin, lin_tick(), task.meta0);
        return;
    }
    task.meta0 = lin_value(self);
    begin = lin_tick();
    if (localq_push_newest(q, &task))
        (void)lin_add(&self->log, LIN_PUSH, begin, lin_tick(), task.meta0);
    /* What was displaced, or found a thief at the slot, is in the ring: take it out there. */
    while (localq_pop(q, &task))
        (void)lin_add(&self->log, LIN_POP, begin, lin_tick(), task.meta0);
}

static void newest_thief(struct lin_thread *self) {
    gmk_task_t task = {0};
    uint64_t begin = lin_tick();
    if (localq_steal_newest(self->queue, &task))
        (void)lin_add(&self->log, LIN_POP, begin, lin_tick(), task.meta0);
}

static void the_newest_slot_gives_each_task_once(void **state) {
    lin_step *const steps[THREADS] = {newest_owner, newest_thief, newest_thief};
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct lin_thread threads[THREADS];
        struct localq *q = make(2, seed);
        gmk_task_t task;
        lin_run(threads, steps, THREADS, q, seed);
        expect_pass(threads, (struct lin_rules){0, true}, seed);
        size_t pushed = 0, popped = localq_pop_newest(q, &task);
        for (unsigned i = 0; i < THREADS; i++)
            for (size_t k = 0; k < threads[i].log.count; k++) {
                pushed += threads[i].log.ops[k].kind == LIN_PUSH;
                popped += threads[i].log.ops[k].kind == LIN_POP;
            }
        assert_int_equal(pushed, popped);
        lin_free(threads, THREADS);
        free(q);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owner_and_two_thieves),
        cmocka_unit_test(the_newest_slot_gives_each_task_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
