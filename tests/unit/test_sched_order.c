/* Test of the scheduler's order: who goes first, who may not be passed over for ever, and what
 * keeps its order. One worker, stopped by a gate while the queues are filled, so that every
 * bound is a count of tasks and none is a time. */
#include "engine/gather.h"
#include "tests/lib/sched_fixture.h"

enum { GATE = 1, NOTE, FLOOD, URGENT, LOW, SPREAD };

#define NOTES_MAX 100000u

/* What ran, in order. One worker writes. */
static uint32_t notes[NOTES_MAX];
static _Atomic uint32_t noted;

static void note(uint64_t value) {
    uint32_t at = atomic_load(&noted);
    assert_true(at < NOTES_MAX);
    notes[at] = (uint32_t)value;
    atomic_store(&noted, at + 1);
}

static int note_handler(gmk_ctx_t *ctx) {
    note(ctx->task->meta0);
    return GMK_OK;
}

static _Atomic uint64_t flood_runs;
static _Atomic uint32_t flood_stop;
static _Atomic uint64_t urgent_at;

/* Keeps the local queue busy for ever: each run emits one or two more. */
static int flood_handler(gmk_ctx_t *ctx) {
    gmk_task_t again = {.type = FLOOD};
    uint64_t runs = atomic_fetch_add(&flood_runs, 1);
    if (atomic_load(&flood_stop))
        return GMK_OK;
    int status = gmk_emit(ctx, &again);
    if (runs < 30) /* so that thirty are queued at any time */
        (void)gmk_emit(ctx, &again);
    return status;
}

static int urgent_handler(gmk_ctx_t *ctx) {
    (void)ctx;
    atomic_store(&urgent_at, atomic_load(&flood_runs));
    return GMK_OK;
}

static int spread_handler(gmk_ctx_t *ctx) {
    for (uint64_t i = 0; i < ctx->task->meta0; i++) {
        gmk_task_t task = {.type = NOTE, .meta0 = i};
        ASSERT_OK(gmk_emit(ctx, &task));
    }
    return GMK_OK;
}

static const gmk_handler_reg_t handlers[] = {
    {GATE, sched_gate_handler, "gate"}, {NOTE, note_handler, "note"},
    {FLOOD, flood_handler, "flood"},    {URGENT, urgent_handler, "urgent"},
    {LOW, urgent_handler, "low"},       {SPREAD, spread_handler, "spread"},
};
#define N_HANDLERS (sizeof(handlers) / sizeof(handlers[0]))

static gmk_kernel_t kernel;
static struct sched_gate gate;

static int start(void **state) {
    (void)state;
    atomic_store(&noted, 0);
    atomic_store(&flood_runs, 0);
    atomic_store(&flood_stop, 0);
    sched_boot(&kernel, NULL, handlers, N_HANDLERS);
    return 0;
}

static int stop(void **state) {
    (void)state;
    atomic_store(&flood_stop, 1); /* also after a failure */
    sched_gate_open(&gate);
    sched_halt(&kernel);
    return 0;
}

static void submit_notes(unsigned priority, uint32_t value, uint32_t count) {
    gmk_task_t task = {.type = NOTE, .flags = GMK_PRIO(priority), .meta0 = value};
    for (uint32_t i = 0; i < count; i++)
        ASSERT_OK(gmk_submit(&kernel, &task));
}

static void priority_0_goes_before_everything_that_waits(void **state) {
    (void)state;
    sched_gate_shut(&gate, &kernel, GATE, 1);
    for (unsigned priority = 3; priority >= 1; priority--)
        submit_notes(priority, priority, 50);
    submit_notes(0, 0, 50);
    sched_gate_open(&gate);
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    for (uint32_t i = 0; i < 50; i++)
        assert_int_equal(notes[i], 0);
}

/* The flood never ends by itself, and every one of its tasks is local work. */
static void a_flood_of_local_emits_lets_priority_0_in_after_at_most_4_tasks(void **state) {
    (void)state;
    gmk_task_t flood = {.type = FLOOD};
    ASSERT_OK(gmk_submit(&kernel, &flood));
    EVENTUALLY(atomic_load(&flood_runs) > 1000);
    for (int round = 0; round < 50; round++) {
        gmk_task_t urgent = {.type = URGENT, .flags = GMK_PRIO(0)};
        atomic_store(&urgent_at, 0);
        ASSERT_OK(gmk_submit(&kernel, &urgent));
        uint64_t taken_at = atomic_load(&flood_runs);
        EVENTUALLY(atomic_load(&urgent_at) != 0);
        uint64_t ran_at = atomic_load(&urgent_at);
        if (ran_at > taken_at + 4)
            fail_msg("%llu local tasks ran before the urgent one",
                     (unsigned long long)(ran_at - taken_at));
    }
}

static void a_flood_of_local_emits_does_not_keep_the_shared_queue_waiting(void **state) {
    (void)state;
    gmk_task_t flood = {.type = FLOOD};
    ASSERT_OK(gmk_submit(&kernel, &flood));
    EVENTUALLY(atomic_load(&flood_runs) > 1000);
    for (int round = 0; round < 20; round++) {
        gmk_task_t normal = {.type = URGENT};
        atomic_store(&urgent_at, 0);
        ASSERT_OK(gmk_submit(&kernel, &normal));
        uint64_t taken_at = atomic_load(&flood_runs);
        EVENTUALLY(atomic_load(&urgent_at) != 0);
        assert_in_range(atomic_load(&urgent_at), 0, taken_at + 2 * GATHER_QUANTUM);
    }
}

static void a_flood_of_local_emits_does_not_starve_the_lowest_class(void **state) {
    (void)state;
    gmk_task_t flood = {.type = FLOOD};
    ASSERT_OK(gmk_submit(&kernel, &flood));
    EVENTUALLY(atomic_load(&flood_runs) > 1000);
    for (int round = 0; round < 20; round++) {
        gmk_task_t low = {.type = LOW, .flags = GMK_PRIO(3)};
        atomic_store(&urgent_at, 0);
        ASSERT_OK(gmk_submit(&kernel, &low));
        uint64_t taken_at = atomic_load(&flood_runs);
        EVENTUALLY(atomic_load(&urgent_at) != 0);
        assert_in_range(atomic_load(&urgent_at), 0, taken_at + 2 * GATHER_AGE);
    }
}

static void classes_1_2_and_3_share_in_the_proportion_4_2_1(void **state) {
    (void)state;
    uint32_t seen[4] = {0};
    sched_gate_shut(&gate, &kernel, GATE, 1);
    for (unsigned priority = 1; priority <= 3; priority++)
        submit_notes(priority, priority, 1000);
    sched_gate_open(&gate);
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    for (uint32_t i = 0; i < 1400; i++)
        seen[notes[i]]++;
    /* 800 : 400 : 200, and ageing gives the lowest one of 64 besides. */
    assert_in_range(seen[1], 740, 840);
    assert_in_range(seen[2], 360, 440);
    assert_in_range(seen[3], 190, 240);
}

static void ageing_lets_the_lowest_class_in_although_priority_1_never_ends(void **state) {
    (void)state;
    sched_gate_shut(&gate, &kernel, GATE, 1);
    submit_notes(1, 1, 4000);
    submit_notes(3, 3, 1);
    sched_gate_open(&gate);
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    uint32_t at = 0;
    while (notes[at] != 3)
        at++;
    assert_in_range(at, 0, GATHER_AGE);
}

static void tasks_of_one_class_submitted_by_one_thread_start_in_order(void **state) {
    (void)state;
    for (unsigned priority = 0; priority < GMK_PRIORITIES; priority++) {
        atomic_store(&noted, 0);
        sched_gate_shut(&gate, &kernel, GATE, 1);
        for (uint32_t i = 0; i < 1000; i++)
            submit_notes(priority, i, 1);
        sched_gate_open(&gate);
        ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
        uint32_t late = 0; /* normal ones may leave the shared queue past the worker's own batch */
        for (uint32_t i = 0; i < 1000; i++)
            late += notes[i] != i;
        if (priority != 2 && late != 0)
            fail_msg("priority %u: %u of 1000 tasks out of order", priority, late);
    }
}

static void everything_a_handler_emits_runs_exactly_once(void **state) {
    (void)state;
    static bool seen[5000];
    memset(seen, 0, sizeof(seen));
    gmk_task_t spread = {.type = SPREAD, .meta0 = 5000};
    ASSERT_OK(gmk_submit(&kernel, &spread));
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    assert_int_equal(atomic_load(&noted), 5000);
    for (uint32_t i = 0; i < 5000; i++) {
        assert_false(seen[notes[i]]);
        seen[notes[i]] = true;
    }
}

static void a_full_queue_refuses_and_takes_again_when_there_is_room(void **state) {
    (void)state;
    sched_gate_shut(&gate, &kernel, GATE, 1);
    gmk_task_t task = {.type = NOTE, .flags = GMK_PRIO(1)};
    uint32_t taken = 0;
    int status;
    while ((status = gmk_submit(&kernel, &task)) == GMK_OK)
        taken++;
    assert_int_equal(status, GMK_EAGAIN);
    gmk_task_t many[40];
    for (int i = 0; i < 40; i++)
        many[i] = task;
    assert_int_equal(gmk_submit_n(&kernel, many, 40), GMK_EAGAIN);
    sched_gate_open(&gate);
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    assert_int_equal(atomic_load(&noted), taken);
    assert_int_equal(gmk_submit_n(&kernel, many, 40), 40);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(priority_0_goes_before_everything_that_waits),
        TEST(a_flood_of_local_emits_lets_priority_0_in_after_at_most_4_tasks),
        TEST(a_flood_of_local_emits_does_not_keep_the_shared_queue_waiting),
        TEST(a_flood_of_local_emits_does_not_starve_the_lowest_class),
        TEST(classes_1_2_and_3_share_in_the_proportion_4_2_1),
        TEST(ageing_lets_the_lowest_class_in_although_priority_1_never_ends),
        TEST(tasks_of_one_class_submitted_by_one_thread_start_in_order),
        TEST(everything_a_handler_emits_runs_exactly_once),
        TEST(a_full_queue_refuses_and_takes_again_when_there_is_room),
    };
    return cmocka_run_group_tests_name("sched_order", tests, NULL, NULL);
}
