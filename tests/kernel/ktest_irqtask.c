/* Test of tasks from interrupts: every CPU's timer submits at a high rate while the workers submit,
 * yield, emit and park; in the end the books are exact.
 *
 * The program's module is in the kernel's own engine: it is halted and started again for that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ggmk/ggmk.h"
#include "kernel/core/cpu.h"
#include "kernel/core/kernel.h"
#include "kernel/irq/irq.h"
#include "kernel/sched/thread.h"
#include "kernel/time/timer.h"

#define LONG_NS 60000000000ull
#define PER_CPU 3000u /* interrupts that submit, on each CPU */
#define BURST   3u    /* tasks of each */
#define LOADS   4u    /* chains of tasks per CPU that keep the workers busy */
#define GAP_NS  15000ull
#define LATE_NS 2000000ull /* the pauses in which workers park */

enum { FROM_IRQ = 910, LOAD, YIELDER };

static _Atomic uint32_t handled[CPUS_MAX], loads_done, stop_load;
static _Atomic uint32_t accepted[CPUS_MAX], refused[CPUS_MAX], fired[CPUS_MAX], other_errors;
static struct timer timers[CPUS_MAX];

/* meta0: the CPU whose interrupt sent it. */
static int from_irq(gmk_ctx_t *ctx) {
    atomic_fetch_add(&handled[ctx->task->meta0], 1);
    return GMK_OK;
}

/* Submits the next of its chain from inside, so that interrupts hit the engine's paths. */
static int load(gmk_ctx_t *ctx) {
    if (atomic_load(&stop_load) != 0) {
        atomic_fetch_add(&loads_done, 1);
        return GMK_OK;
    }
    gmk_task_t next = {.type = LOAD, .meta0 = ctx->task->meta0 + 1};
    gmk_task_t yielder = {.type = YIELDER};
    if (ctx->task->meta0 % 16 == 0)
        (void)gmk_emit(ctx, &yielder);
    next.flags = GMK_PRIO(ctx->task->meta0 % 4);
    int status = ctx->task->meta0 % 2 != 0 ? gmk_emit(ctx, &next) : gmk_submit(ctx->kernel, &next);
    if (status != GMK_EAGAIN)
        return status;
    /* Full: come again ourselves, at first at once, which may need the overflow bucket. */
    if (ctx->task->meta1++ < 1000)
        gmk_yield(ctx);
    else
        gmk_yield_at(ctx, gmk_now(ctx) + GAP_NS);
    return GMK_OK;
}

static int yielder(gmk_ctx_t *ctx) {
    if (ctx->task->meta0++ < 5)
        gmk_yield(ctx);
    return GMK_OK;
}

static const gmk_handler_reg_t handlers[] = {
    {.type = FROM_IRQ, .fn = from_irq, .name = "from_irq"},
    {.type = LOAD, .fn = load, .name = "load"},
    {.type = YIELDER, .fn = yielder, .name = "yielder"},
};
static gmk_module_t ktest_irqtask_module = {
    .name = "ktest_irqtask",
    .version = GMK_VERSION(1, 0, 0),
    .handlers = handlers,
    .n_handlers = 3,
};
GMK_MODULE(ktest_irqtask_module)

static void sleep_ns(uint64_t ns) {
    _Atomic uint32_t never = 0;
    (void)wait_block(&never, 0, ns);
}

static int restart(void **state) {
    (void)state;
    int status = engine_stop();
    engine_start();
    return status;
}

static int fresh(void **state) {
    (void)state;
    for (unsigned i = 0; i < CPUS_MAX; i++) {
        atomic_store(&handled[i], 0);
        atomic_store(&accepted[i], 0);
        atomic_store(&refused[i], 0);
        atomic_store(&fired[i], 0);
        (void)timer_stop(&timers[i]); /* of a test that failed before its time */
        timers[i] = (struct timer){0};
    }
    atomic_store(&stop_load, 0);
    atomic_store(&loads_done, 0);
    atomic_store(&other_errors, 0);
    return 0;
}

/* ---- Interrupts that submit ------------------------------------------------------------------ */

static uint64_t gap_of[CPUS_MAX];

static void submit_again(struct timer *timer) {
    uint32_t cpu = cpu_this()->index;
    for (unsigned i = 0; i < BURST; i++) {
        gmk_task_t task = {.type = FROM_IRQ, .meta0 = cpu};
        task.flags = GMK_PRIO(i);
        int status = irq_submit(&task);
        if (status == GMK_OK)
            atomic_fetch_add(&accepted[cpu], 1);
        else if (status == GMK_EAGAIN)
            atomic_fetch_add(&refused[cpu], 1);
        else
            atomic_fetch_add(&other_errors, 1);
    }
    if (atomic_fetch_add(&fired[cpu], 1) + 1 < PER_CPU)
        (void)timer_start(timer, time_now_ns() + gap_of[cpu] + atomic_load(&fired[cpu]) % 7 * 1000,
                          submit_again);
}

static void arm(void *arg) {
    uint32_t cpu = (uint32_t)(uintptr_t)arg;
    (void)timer_start(&timers[cpu], time_now_ns() + 1000, submit_again);
}

static void arm_all(uint64_t gap_ns) {
    for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
        gap_of[cpu] = gap_ns * ((cpu_count + 1) / 2); /* emulators have few CPUs of their own */
        struct thread *thread = thread_start("arm", 0, THREAD_PRIORITY_WORKER + 1, (int)cpu, arm,
                                             (void *)(uintptr_t)cpu);
        assert_non_null(thread);
        thread_join(thread);
    }
}

static void wait_all_fired(void) {
    uint64_t end = time_now_ns() + LONG_NS;
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        while (atomic_load(&fired[cpu]) < PER_CPU && time_now_ns() < end)
            sleep_ns(5000000);
}

/* Nothing is lost, nothing comes twice, and the engine's own books agree. */
static void check_books(void) {
    gmk_counts_t sum, mine;
    assert_int_equal(gmk_drain(&kernel_engine, LONG_NS), GMK_OK);
    uint64_t taken = 0;
    for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
        assert_int_equal(atomic_load(&fired[cpu]), PER_CPU);
        assert_int_equal(atomic_load(&handled[cpu]), atomic_load(&accepted[cpu]));
        assert_int_equal(atomic_load(&accepted[cpu]) + atomic_load(&refused[cpu]), PER_CPU * BURST);
        taken += atomic_load(&accepted[cpu]);
    }
    assert_int_equal(atomic_load(&other_errors), 0);
    assert_int_equal(gmk_type_counts(&kernel_engine, FROM_IRQ, &mine), GMK_OK);
    assert_int_equal(mine.queued, 0);
    assert_int_equal(mine.emitted, 0);
    assert_int_equal(mine.failed + mine.dropped, 0);
    assert_true(mine.submitted >= taken && mine.completed == mine.submitted);
    assert_int_equal(gmk_counts(&kernel_engine, &sum), GMK_OK);
    assert_int_equal(sum.queued, 0);
    assert_true(sum.submitted + sum.emitted == sum.completed + sum.failed + sum.dropped);
}

static void interrupts_submit_while_workers_are_busy_and_nothing_is_lost(void **state) {
    (void)state;
    for (unsigned i = 0; i < LOADS * cpu_count; i++) {
        const gmk_task_t task = {.type = LOAD, .meta0 = i};
        int status;
        while ((status = gmk_submit(&kernel_engine, &task)) == GMK_EAGAIN)
            sched_yield();
        assert_int_equal(status, GMK_OK);
    }
    arm_all(GAP_NS);
    wait_all_fired();
    atomic_store(&stop_load, 1);
    check_books();
    assert_int_equal(atomic_load(&loads_done), LOADS * cpu_count);
}

/* Gaps about as long as it takes a worker to go to sleep: each task meets one on its way. */
static void interrupts_submit_while_workers_go_to_sleep_and_nobody_oversleeps(void **state) {
    (void)state;
    arm_all(2 * GAP_NS);
    wait_all_fired();
    check_books();
}

/* ---- What is refused ---------------------------------------------------------------------------- */

static _Atomic uint32_t answers[3];
static struct timer ask;

static void ask_for_trouble(struct timer *timer) {
    (void)timer;
    const gmk_task_t grouped = {.type = FROM_IRQ, .group = 1};
    const gmk_task_t ordered = {.type = FROM_IRQ, .flags = GMK_TASK_DETERMINISTIC};
    const gmk_task_t unknown = {.type = 999};
    atomic_store(&answers[0], (uint32_t)irq_submit(&grouped));
    atomic_store(&answers[1], (uint32_t)irq_submit(&ordered));
    atomic_store(&answers[2], (uint32_t)irq_submit(&unknown));
}

static void what_could_wait_is_refused_in_an_interrupt(void **state) {
    (void)state;
    assert_true(timer_start(&ask, time_now_ns() + 1000, ask_for_trouble));
    sleep_ns(LATE_NS);
    assert_int_equal((int)atomic_load(&answers[0]), GMK_EINVAL);
    assert_int_equal((int)atomic_load(&answers[1]), GMK_EINVAL);
    assert_int_equal((int)atomic_load(&answers[2]), GMK_ETYPE);
}

/* Interrupts go on submitting while the engine halts and starts: refused, then taken again. */
static _Atomic uint32_t halted_seen, strange;
static struct timer through[CPUS_MAX];

static void submit_through(struct timer *timer) {
    const gmk_task_t task = {.type = FROM_IRQ, .meta0 = cpu_this()->index};
    int status = irq_submit(&task);
    if (status == GMK_EHALTED)
        atomic_fetch_add(&halted_seen, 1);
    else if (status != GMK_OK && status != GMK_EAGAIN)
        atomic_fetch_add(&strange, 1);
    if (atomic_load(&stop_load) == 0)
        (void)timer_start(timer, time_now_ns() + GAP_NS, submit_through);
}

static void arm_through(void *arg) {
    (void)timer_start(&through[(uintptr_t)arg], time_now_ns() + 1000, submit_through);
}

static void interrupts_may_submit_while_the_engine_halts(void **state) {
    (void)state;
    atomic_store(&halted_seen, 0);
    for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
        struct thread *thread = thread_start("arm", 0, THREAD_PRIORITY_WORKER + 1, (int)cpu,
                                             arm_through, (void *)(uintptr_t)cpu);
        assert_non_null(thread);
        thread_join(thread);
    }
    for (unsigned round = 0; round < 5; round++) {
        sleep_ns(LATE_NS);
        assert_int_equal(engine_stop(), GMK_OK);
        sleep_ns(LATE_NS);
        engine_start();
    }
    atomic_store(&stop_load, 1);
    sleep_ns(LATE_NS);
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        (void)timer_stop(&through[cpu]);
    assert_int_equal(gmk_drain(&kernel_engine, LONG_NS), GMK_OK);
    assert_true(atomic_load(&halted_seen) != 0);
    assert_int_equal(atomic_load(&strange), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, fresh)
    const struct CMUnitTest tests[] = {
        TEST(interrupts_submit_while_workers_are_busy_and_nothing_is_lost),
        TEST(interrupts_submit_while_workers_go_to_sleep_and_nobody_oversleeps),
        TEST(what_could_wait_is_refused_in_an_interrupt),
        TEST(interrupts_may_submit_while_the_engine_halts),
    };
    return cmocka_run_group_tests(tests, restart, NULL);
}
