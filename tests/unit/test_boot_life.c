/* Test of an engine's life: bad input at run time, use after halt, several engines at once,
 * many threads, clients that come and go, and calls from where they are not allowed. */
#include "tests/lib/sched_fixture.h"

enum { GATE = 1, COUNT, CROSS, INSIDE, LATER, NAP };

static gmk_kernel_t kernel, other;
static struct sched_gate gate;
static _Atomic uint64_t counted;
static _Atomic int statuses[4];

/* From a worker of one engine into another. */
static int cross_handler(gmk_ctx_t *ctx) {
    gmk_task_t task = {.type = COUNT, .meta0 = (uintptr_t)&counted};
    return gmk_submit(ctx->kernel == &kernel ? &other : &kernel, &task);
}

static int inside_handler(gmk_ctx_t *ctx) {
    gmk_task_t task = {.type = COUNT, .meta0 = (uintptr_t)&counted};
    atomic_store(&statuses[0], gmk_halt(ctx->kernel));
    atomic_store(&statuses[1], gmk_drain(ctx->kernel, 0));
    atomic_store(&statuses[2], gmk_submit(ctx->kernel, &task));
    atomic_store(&statuses[3], gmk_attach(ctx->kernel) != NULL);
    return GMK_OK;
}

static _Atomic uint32_t sending;

/* Sends to a time that is far away, until it is told that this will not come. */
static int later_handler(gmk_ctx_t *ctx) {
    gmk_task_t task = {.type = COUNT, .meta0 = (uintptr_t)&counted};
    int status;
    do {
        status = gmk_emit_at(ctx, &task, gmk_now(ctx) + UINT64_C(3600000000000));
        atomic_store(&sending, 1);
    } while (status == GMK_OK || status == GMK_ELIMIT);
    atomic_store(&statuses[0], status);
    return GMK_OK;
}

/* Runs twice: the first time it asks to go on a little later. */
static _Atomic uint32_t naps;

static int nap_handler(gmk_ctx_t *ctx) {
    if (atomic_fetch_add(&naps, 1) == 0)
        gmk_yield_at(ctx, gmk_now(ctx) + UINT64_C(20000000));
    return GMK_OK;
}

static const gmk_handler_reg_t handlers[] = {
    {GATE, sched_gate_handler, "gate"}, {COUNT, sched_count_handler, "count"},
    {CROSS, cross_handler, "cross"},    {INSIDE, inside_handler, "inside"},
    {LATER, later_handler, "later"},    {NAP, nap_handler, "nap"},
};
#define N_HANDLERS (sizeof(handlers) / sizeof(handlers[0]))

static void start(gmk_kernel_t *k, const gmk_boot_cfg_t *cfg) {
    sched_boot(k, cfg, handlers, N_HANDLERS);
}

static int reset(void **state) {
    (void)state;
    atomic_store(&counted, 0);
    return 0;
}

static void bad_tasks_are_refused_and_counted_and_nothing_is_taken(void **state) {
    (void)state;
    start(&kernel, &(gmk_boot_cfg_t){.n_tenants = 2});
    const struct {
        gmk_task_t task;
        int status;
    } bad[] = {
        {{.type = 0}, GMK_ETYPE},
        {{.type = 77}, GMK_ETYPE},
        {{.type = GMK_TYPES_MAX}, GMK_ETYPE},
        {{.type = UINT32_MAX}, GMK_ETYPE},
        {{.type = COUNT, .tenant = 2}, GMK_ETENANT},
        {{.type = COUNT, .flags = 5}, GMK_EINVAL},
        {{.type = COUNT, .flags = GMK_TASK_TOKEN}, GMK_EINVAL},
        {{.type = COUNT, .flags = 0x8000}, GMK_EINVAL},
        {{.type = COUNT, .len = 1}, GMK_EINVAL},
        {{.type = COUNT, .group = 12345}, GMK_EINVAL},
    };
    const uint64_t n = sizeof(bad) / sizeof(bad[0]);
    for (size_t i = 0; i < n; i++) {
        ASSERT_STATUS(gmk_submit(&kernel, &bad[i].task), bad[i].status);
        ASSERT_STATUS(gmk_submit_n(&kernel, &bad[i].task, 1), bad[i].status);
        ASSERT_STATUS(gmk_submit_at(&kernel, &bad[i].task, 1), bad[i].status);
    }
    ASSERT_STATUS(gmk_submit(&kernel, NULL), GMK_EINVAL);
    ASSERT_STATUS(gmk_submit_n(&kernel, NULL, 1), GMK_EINVAL);
    ASSERT_STATUS(gmk_submit_n(&kernel, &bad[0].task, UINT32_MAX), GMK_EINVAL);
    ASSERT_STATUS(gmk_submit_n(&kernel, NULL, 0), 0);
    gmk_task_t some[3] = {{.type = COUNT}, {.type = COUNT}, {.type = 77}};
    ASSERT_STATUS(gmk_submit_n(&kernel, some, 3), 2);
    gmk_counts_t counts;
    gmk_sched_stats_t sched;
    ASSERT_OK(gmk_counts(&kernel, &counts));
    ASSERT_OK(gmk_sched_stats(&kernel, &sched));
    assert_int_equal(counts.submitted, 2);
    assert_int_equal(sched.refused, 3 * n + 1);
    sched_halt(&kernel);
}

static void every_call_after_halt_says_so(void **state) {
    (void)state;
    start(&kernel, NULL);
    gmk_ctx_t *ctx = gmk_attach(&kernel);
    assert_non_null(ctx);
    ASSERT_OK(gmk_halt(&kernel));
    gmk_task_t task = {.type = COUNT};
    gmk_counts_t counts;
    gmk_sched_stats_t sched;
    uint32_t id;
    static struct sched_text text;
    ASSERT_STATUS(gmk_submit(&kernel, &task), GMK_EHALTED);
    ASSERT_STATUS(gmk_submit_n(&kernel, &task, 1), GMK_EHALTED);
    ASSERT_STATUS(gmk_submit_at(&kernel, &task, 1), GMK_EHALTED);
    ASSERT_STATUS(gmk_emit(ctx, &task), GMK_EHALTED);
    ASSERT_STATUS(gmk_drain(&kernel, 0), GMK_EHALTED);
    ASSERT_STATUS(gmk_halt(&kernel), GMK_EHALTED);
    ASSERT_STATUS(gmk_counts(&kernel, &counts), GMK_EHALTED);
    ASSERT_STATUS(gmk_sched_stats(&kernel, &sched), GMK_EHALTED);
    ASSERT_STATUS(gmk_prometheus(&kernel, sched_write, &text), GMK_EHALTED);
    ASSERT_STATUS(gmk_dump(&kernel, sched_write, &text), GMK_EHALTED);
    ASSERT_STATUS(gmk_type_reset(&kernel, COUNT), GMK_EHALTED);
    ASSERT_STATUS(gmk_tenant_limit(&kernel, 0, 0, 0), GMK_EHALTED);
    ASSERT_STATUS(gmk_group_open(ctx, 0, &id), GMK_EHALTED);
    ASSERT_STATUS(gmk_chan_open(ctx, "a.b", 1, 0, 0, &id), GMK_EHALTED);
    assert_null(gmk_attach(&kernel));
    assert_null(gmk_alloc(ctx, 10));
    gmk_free(ctx, &id);
    assert_true(gmk_now(ctx) != 0);
    assert_int_equal(gmk_self_worker(ctx), UINT32_MAX);
    gmk_detach(&kernel);
}

static void a_running_handle_cannot_be_booted_again(void **state) {
    (void)state;
    start(&kernel, NULL);
    uint64_t boot_id = kernel.boot_id;
    gmk_log_level(GMK_LOG_ERROR);
    ASSERT_STATUS(gmk_boot(&kernel, NULL, NULL, 0), GMK_EBUSY);
    assert_int_equal(kernel.boot_id, boot_id);
    gmk_task_t task = {.type = COUNT, .meta0 = (uintptr_t)&counted};
    ASSERT_OK(gmk_submit(&kernel, &task));
    sched_halt(&kernel);
    assert_int_equal(atomic_load(&counted), 1);
}

static void several_engines_run_side_by_side_and_their_workers_reach_each_other(void **state) {
    (void)state;
    start(&kernel, NULL);
    start(&other, &(gmk_boot_cfg_t){.n_workers = 2});
    gmk_task_t task = {.type = CROSS};
    for (int i = 0; i < 500; i++) {
        sched_submit(&kernel, &task);
        sched_submit(&other, &task);
    }
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    ASSERT_OK(gmk_drain(&other, SCHED_LIMIT_NS));
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    assert_int_equal(atomic_load(&counted), 1000);
    sched_halt(&kernel);
    assert_int_equal(gmk_submit(&other, &task), GMK_OK); /* finds the other one halted, fails */
    ASSERT_OK(gmk_drain(&other, SCHED_LIMIT_NS));
    gmk_counts_t counts;
    ASSERT_OK(gmk_counts(&other, &counts));
    assert_int_equal(counts.failed, 1);
    sched_halt(&other);
}

static void more_engines_than_a_thread_can_be_in_is_a_limit_not_a_crash(void **state) {
    (void)state;
    gmk_kernel_t many[8] = {{0}};
    int booted = 0, status = GMK_OK;
    gmk_log_level(GMK_LOG_ERROR);
    while (booted < 8 && status == GMK_OK) {
        gmk_boot_cfg_t cfg = {.n_workers = 1, .arena_size = 8u << 20};
        status = gmk_boot(&many[booted], &cfg, NULL, 0);
        booted += status == GMK_OK;
    }
    if (booted < 8)
        assert_int_equal(status, GMK_ELIMIT);
    assert_in_range(booted, 4, 8);
    while (booted > 0)
        ASSERT_OK(gmk_halt(&many[--booted]));
}

/* ---- Threads ------------------------------------------------------------------------------------ */

#define PER_THREAD 2000

static void submit_many(void *arg) {
    gmk_task_t task = {.type = COUNT, .meta0 = (uintptr_t)&counted};
    for (int i = 0; i < PER_THREAD; i++)
        sched_submit(arg, &task);
}

static void run_threads(unsigned count, void (*fn)(void *)) {
    struct hal_thread threads[16];
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(hal_thread_start(&threads[i], "test", 0, -1, fn, &kernel), 0);
    for (unsigned i = 0; i < count; i++)
        hal_thread_join(&threads[i]);
}

static void many_threads_submit_and_nothing_is_lost_or_miscounted(void **state) {
    (void)state;
    start(&kernel, &(gmk_boot_cfg_t){.n_workers = 2});
    run_threads(8, submit_many);
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    assert_int_equal(atomic_load(&counted), 8 * PER_THREAD);
    gmk_counts_t counts;
    ASSERT_OK(gmk_type_counts(&kernel, COUNT, &counts));
    assert_int_equal(counts.submitted, 8 * PER_THREAD);
    assert_int_equal(counts.completed, 8 * PER_THREAD);
    sched_halt(&kernel);
}

static void submit_one(void *arg) {
    gmk_task_t task = {.type = COUNT, .meta0 = (uintptr_t)&counted};
    assert_int_equal(gmk_submit(arg, &task), GMK_OK);
}

/* The booting thread is a client too, so one is left. */
static void a_thread_that_ends_makes_room_for_the_next(void **state) {
    (void)state;
    start(&kernel, &(gmk_boot_cfg_t){.max_clients = 2});
    for (int i = 0; i < 100; i++)
        run_threads(1, submit_one);
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    assert_int_equal(atomic_load(&counted), 100);
    sched_halt(&kernel);
}

struct visitor {
    struct hal_thread thread;
    _Atomic int status;
    _Atomic uint32_t leave, left;
};

static void visit(void *arg) {
    struct visitor *v = arg;
    gmk_task_t task = {.type = COUNT, .meta0 = (uintptr_t)&counted};
    atomic_store(&v->status, gmk_submit(&kernel, &task));
    EVENTUALLY(atomic_load(&v->leave) != 0);
    gmk_detach(&kernel);
    gmk_detach(&kernel); /* twice is once */
    atomic_store(&v->left, 1);
    EVENTUALLY(atomic_load(&v->leave) == 2);
}

static void one_client_too_many_is_told_so_and_welcome_after_a_detach(void **state) {
    (void)state;
    start(&kernel, &(gmk_boot_cfg_t){.max_clients = 2});
    static struct visitor a, b, c;
    struct visitor *all[] = {&a, &b, &c};
    for (int i = 0; i < 3; i++) {
        atomic_store(&all[i]->status, 1);
        atomic_store(&all[i]->leave, 0);
        atomic_store(&all[i]->left, 0);
    }
    assert_int_equal(hal_thread_start(&a.thread, "a", 0, -1, visit, &a), 0);
    EVENTUALLY(atomic_load(&a.status) == GMK_OK);
    assert_int_equal(hal_thread_start(&b.thread, "b", 0, -1, visit, &b), 0);
    EVENTUALLY(atomic_load(&b.status) == GMK_ELIMIT);
    atomic_store(&a.leave, 1);
    EVENTUALLY(atomic_load(&a.left) == 1);
    assert_int_equal(hal_thread_start(&c.thread, "c", 0, -1, visit, &c), 0);
    EVENTUALLY(atomic_load(&c.status) == GMK_OK);
    for (int i = 0; i < 3; i++) {
        atomic_store(&all[i]->leave, 1);
        EVENTUALLY(atomic_load(&all[i]->left) == 1);
        atomic_store(&all[i]->leave, 2);
        hal_thread_join(&all[i]->thread);
    }
    sched_halt(&kernel);
    assert_int_equal(atomic_load(&counted), 2);
}

/* ---- From inside -------------------------------------------------------------------------------- */

static void handlers_may_not_halt_or_drain(void **state) {
    (void)state;
    for (int deterministic = 0; deterministic < 2; deterministic++) {
        start(&kernel, &(gmk_boot_cfg_t){.deterministic = deterministic != 0});
        gmk_task_t task = {.type = INSIDE};
        ASSERT_OK(gmk_submit(&kernel, &task));
        ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
        assert_int_equal(atomic_load(&statuses[0]), GMK_EPERM);
        assert_int_equal(atomic_load(&statuses[1]), GMK_EPERM);
        assert_int_equal(atomic_load(&statuses[2]), GMK_OK);
        assert_int_equal(atomic_load(&statuses[3]), 1);
        sched_halt(&kernel);
    }
}

static int halting_write(void *arg, const void *bytes, size_t size) {
    (void)arg;
    (void)bytes;
    (void)size;
    atomic_store(&statuses[0], gmk_halt(&kernel));
    atomic_store(&statuses[1], gmk_drain(&kernel, UINT64_MAX));
    return GMK_OK;
}

static void an_export_may_not_halt_what_it_reads(void **state) {
    (void)state;
    start(&kernel, NULL);
    ASSERT_OK(gmk_dump(&kernel, halting_write, NULL));
    assert_int_equal(atomic_load(&statuses[0]), GMK_EPERM);
    assert_int_equal(atomic_load(&statuses[1]), GMK_EPERM);
    sched_halt(&kernel);
}

static void halt_refuses_timed_work_that_handlers_still_send(void **state) {
    (void)state;
    gmk_task_t task = {.type = LATER};
    for (int round = 0; round < 20; round++) {
        start(&kernel, &(gmk_boot_cfg_t){.halt_timeout_ns = SCHED_LIMIT_NS});
        atomic_store(&sending, 0);
        ASSERT_OK(gmk_submit(&kernel, &task));
        EVENTUALLY(atomic_load(&sending) != 0);
        ASSERT_OK(gmk_halt(&kernel));
        assert_int_equal(atomic_load(&statuses[0]), GMK_EHALTED);
        assert_int_equal(atomic_load(&counted), 0);
    }
}

/* Work that does not end in time is dead-lettered, counted and reported. */
static void halt_lets_a_task_that_rests_finish(void **state) {
    (void)state;
    atomic_store(&naps, 0);
    start(&kernel, NULL);
    gmk_task_t task = {.type = NAP};
    sched_submit(&kernel, &task);
    EVENTUALLY(atomic_load(&naps) == 1);
    ASSERT_OK(gmk_halt(&kernel));
    assert_int_equal(atomic_load(&naps), 2); /* it was not dropped as work for later */
}

static void halt_gives_up_at_its_time_limit_and_says_so(void **state) {
    (void)state;
    start(&kernel, &(gmk_boot_cfg_t){.halt_timeout_ns = 1000000, .retry_base_ns = 1000000});
    gmk_task_t task = {.type = COUNT, .meta0 = (uintptr_t)&counted};
    sched_gate_shut(&gate, &kernel, GATE, 1);
    for (int i = 0; i < 100; i++)
        ASSERT_OK(gmk_submit(&kernel, &task));
    gmk_log_level(GMK_LOG_ERROR);
    sched_gate_open(&gate);
    int status = gmk_halt(&kernel); /* a race with the worker: both ends are right */
    assert_true(status == GMK_OK || status == GMK_EDRAIN);
    if (status == GMK_OK)
        assert_int_equal(atomic_load(&counted), 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_tasks_are_refused_and_counted_and_nothing_is_taken),
        cmocka_unit_test(every_call_after_halt_says_so),
        cmocka_unit_test_setup(a_running_handle_cannot_be_booted_again, reset),
        cmocka_unit_test_setup(several_engines_run_side_by_side_and_their_workers_reach_each_other,
                               reset),
        cmocka_unit_test(more_engines_than_a_thread_can_be_in_is_a_limit_not_a_crash),
        cmocka_unit_test_setup(many_threads_submit_and_nothing_is_lost_or_miscounted, reset),
        cmocka_unit_test_setup(a_thread_that_ends_makes_room_for_the_next, reset),
        cmocka_unit_test_setup(one_client_too_many_is_told_so_and_welcome_after_a_detach, reset),
        cmocka_unit_test(handlers_may_not_halt_or_drain),
        cmocka_unit_test(an_export_may_not_halt_what_it_reads),
        cmocka_unit_test_setup(halt_refuses_timed_work_that_handlers_still_send, reset),
        cmocka_unit_test_setup(halt_lets_a_task_that_rests_finish, reset),
        cmocka_unit_test_setup(halt_gives_up_at_its_time_limit_and_says_so, reset),
    };
    return cmocka_run_group_tests_name("boot_life", tests, NULL, NULL);
}
