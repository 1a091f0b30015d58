/* Test of idle workers: an idle engine does nothing at all, and whatever brings work wakes
 * whoever is needed, from outside and from inside. */
#include <dirent.h>
#include <stdlib.h>

#include "tests/lib/sched_fixture.h"

enum { COUNT = 1, MEET, PAIR };

static gmk_kernel_t kernel;
static _Atomic uint64_t counted;
static _Atomic uint32_t met;

static int meet_handler(gmk_ctx_t *ctx) {
    (void)ctx;
    atomic_fetch_add(&met, 1);
    return GMK_OK;
}

/* Does not end before the task it emitted has run: only another worker can do that. */
static int pair_handler(gmk_ctx_t *ctx) {
    gmk_task_t task = {.type = MEET, .flags = (uint16_t)ctx->task->meta0};
    uint32_t before = atomic_load(&met);
    ASSERT_OK(ctx->task->meta1 ? gmk_spawn(ctx, &task) : gmk_emit(ctx, &task));
    EVENTUALLY(atomic_load(&met) != before);
    return GMK_OK;
}

static const gmk_handler_reg_t handlers[] = {
    {COUNT, sched_count_handler, "count"},
    {MEET, meet_handler, "meet"},
    {PAIR, pair_handler, "pair"},
};

static void start(uint32_t workers) {
    atomic_store(&counted, 0);
    atomic_store(&met, 0);
    sched_boot(&kernel, &(gmk_boot_cfg_t){.n_workers = workers}, handlers,
               sizeof(handlers) / sizeof(handlers[0]));
}

static uint64_t parks(void) {
    gmk_sched_stats_t sched;
    ASSERT_OK(gmk_sched_stats(&kernel, &sched));
    return sched.parks;
}

/* Switches of one thread, if it is one of the engine's. */
static uint64_t switches_of(const char *id) {
    char path[300], line[200];
    uint64_t sum = 0;
    bool engines = false;
    (void)snprintf(path, sizeof(path), "/proc/self/task/%s/status", id);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        engines |= strncmp(line, "Name:\tgmk-", 10) == 0;
        if (strncmp(line, "voluntary_ctxt_switches:", 24) == 0)
            sum += strtoull(line + 24, NULL, 10);
    }
    if (file != NULL)
        fclose(file);
    return engines ? sum + 1 : 0;
}

/* Times that threads of the engine went to sleep and were woken; *threads: how many there are. */
static uint64_t voluntary_switches(uint32_t *threads) {
    uint64_t sum = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    *threads = 0;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        uint64_t one = switches_of(entry->d_name);
        *threads += one != 0;
        sum += one;
    }
    closedir(tasks);
    return sum;
}

static void sleep_ms(uint64_t ms) {
    uint64_t until = hal_now_ns() + ms * 1000000;
    while (hal_now_ns() < until)
        sched_pause();
}

/* Waits until no thread of the engine has moved for a while. */
static uint64_t settled(uint32_t *threads) {
    uint64_t now = voluntary_switches(threads), before;
    uint64_t until = hal_now_ns() + SCHED_LIMIT_NS;
    do {
        before = now;
        sleep_ms(300);
        now = voluntary_switches(threads);
    } while (now != before && hal_now_ns() < until);
    return now;
}

/* The watchdog looks twice a second while work goes on, and must go to sleep as well. */
static void an_idle_engine_does_not_move_for_a_second_and_serves_at_once(void **state) {
    (void)state;
    uint32_t threads;
    start(2);
    gmk_task_t task = {.type = COUNT, .meta0 = (uintptr_t)&counted};
    ASSERT_OK(gmk_submit(&kernel, &task));
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    sleep_ms(1100); /* the watchdog needs two looks to be sure */
    uint64_t before = settled(&threads);
    assert_int_equal(threads, 3); /* two workers, one watchdog */
    sleep_ms(1000);
    uint64_t after = voluntary_switches(&threads);
    if (after != before)
        fail_msg("an idle engine woke up %llu times in a second",
                 (unsigned long long)(after - before));
    ASSERT_OK(gmk_submit(&kernel, &task));
    EVENTUALLY(atomic_load(&counted) == 2);
    sched_halt(&kernel);
}

static void wait_until_all_sleep(void) {
    uint64_t seen;
    do {
        seen = parks();
        sleep_ms(3);
    } while (parks() != seen);
}

static void a_submit_wakes_a_sleeping_worker_every_time(void **state) {
    (void)state;
    start(2);
    gmk_task_t task = {.type = COUNT, .meta0 = (uintptr_t)&counted};
    for (uint64_t i = 1; i <= 50; i++) {
        wait_until_all_sleep();
        task.flags = GMK_PRIO(i % 4);
        ASSERT_OK(i % 3 != 0 ? gmk_submit(&kernel, &task) : gmk_submit_at(&kernel, &task, 0));
        EVENTUALLY(atomic_load(&counted) == i);
    }
    sched_halt(&kernel);
}

/* The emitting handler keeps its own worker, so the other one must be woken, and must find
 * the task wherever it was put. */
static void an_emit_wakes_another_worker_for_every_priority_and_for_spawns(void **state) {
    (void)state;
    start(2);
    for (uint32_t round = 0; round < 10; round++)
        for (uint64_t spawn = 0; spawn < 2; spawn++)
            for (unsigned priority = 0; priority < GMK_PRIORITIES; priority++) {
                gmk_task_t task = {.type = PAIR, .meta0 = GMK_PRIO(priority), .meta1 = spawn};
                wait_until_all_sleep();
                ASSERT_OK(gmk_submit(&kernel, &task));
                ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
            }
    assert_int_equal(atomic_load(&met), 80);
    sched_halt(&kernel);
}

static void a_batch_wakes_as_many_workers_as_it_needs(void **state) {
    (void)state;
    start(4);
    gmk_task_t tasks[2];
    for (uint32_t round = 0; round < 10; round++) {
        wait_until_all_sleep();
        for (int i = 0; i < 2; i++)
            tasks[i] = (gmk_task_t){.type = PAIR, .meta0 = GMK_PRIO(2)};
        assert_int_equal(gmk_submit_n(&kernel, tasks, 2), 2);
        ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    }
    sched_halt(&kernel);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_engine_does_not_move_for_a_second_and_serves_at_once),
        cmocka_unit_test(a_submit_wakes_a_sleeping_worker_every_time),
        cmocka_unit_test(an_emit_wakes_another_worker_for_every_priority_and_for_spawns),
        cmocka_unit_test(a_batch_wakes_as_many_workers_as_it_needs),
    };
    return cmocka_run_group_tests_name("worker_idle", tests, NULL, NULL);
}
