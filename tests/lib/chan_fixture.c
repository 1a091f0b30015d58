/* Channel fixture: see chan_fixture.h. */
#include "tests/lib/chan_fixture.h"

gmk_kernel_t chan_kernel;
gmk_ctx_t *chan_me;

static int fail_handler(gmk_ctx_t *ctx) {
    (void)ctx;
    return GMK_EFAIL;
}

void chan_up_with(const gmk_boot_cfg_t *cfg) {
    static const gmk_handler_reg_t handlers[] = {{CHAN_GATE, sched_gate_handler, "gate"},
                                                 {CHAN_COUNT, sched_count_handler, "count"},
                                                 {CHAN_FAIL, fail_handler, "fail"}};
    gmk_boot_cfg_t full = *cfg;
    full.arena_size = full.arena_size != 0 ? full.arena_size : (size_t)32 << 20;
    full.poison_window_ns = full.poison_window_ns != 0 ? full.poison_window_ns : UINT64_MAX;
    full.retry_base_ns = full.retry_base_ns != 0 ? full.retry_base_ns : 20000;
    full.max_clients = full.max_clients != 0 ? full.max_clients : 16;
    sched_boot(&chan_kernel, &full, handlers, 3);
    chan_me = gmk_attach(&chan_kernel);
    assert_non_null(chan_me);
}

void chan_up(uint32_t workers) {
    gmk_boot_cfg_t cfg = {.n_workers = workers};
    chan_up_with(&cfg);
}

uint64_t chan_blocks_live(void) {
    gmk_part_stats_t part;
    ASSERT_OK(gmk_arena_stats(&chan_kernel, GMK_PART_BLOCKS, &part));
    return part.allocs - part.frees;
}

void chan_books(void) {
    gmk_sched_stats_t sched;
    gmk_counts_t sum = {0};
    chan_drain();
    ASSERT_OK(gmk_counts(&chan_kernel, &sum));
    assert_int_equal(sum.queued, 0);
    for (uint32_t type = 1; type < GMK_TYPES_MAX; type++)
        if (gmk_type_counts(&chan_kernel, type, &sum) == GMK_OK)
            assert_int_equal(sum.submitted + sum.emitted, sum.completed + sum.failed + sum.dropped);
    /* A replay log lets go of its payloads when its subscription ends, which is the engine's
     * own work and not waited for by a drain. */
    EVENTUALLY(chan_blocks_live() == 0); /* every payload is freed */
    ASSERT_OK(gmk_sched_stats(&chan_kernel, &sched));
    assert_int_equal(sched.bad_frees, 0);
}

void chan_down(void) {
    chan_books();
    sched_halt(&chan_kernel);
    chan_me = NULL;
}

static struct sched_text dump;

/* A drain that does not end shows where everything stands. */
void chan_drain(void) {
    int status = gmk_drain(&chan_kernel, SCHED_LIMIT_NS);
    if (status != GMK_OK) {
        dump.length = 0;
        (void)gmk_dump(&chan_kernel, sched_write, &dump);
        (void)fprintf(stderr, "%s\n", dump.text);
    }
    ASSERT_OK(status);
}

uint32_t chan_make(const char *name, uint32_t options, uint32_t slots) {
    uint32_t chan = 0;
    ASSERT_OK(gmk_chan_open(chan_me, name, MSG, options, slots, &chan));
    return chan;
}

uint32_t chan_listen(uint32_t chan, gmk_handler_fn fn, void *state, uint32_t options) {
    uint32_t sub = UINT32_MAX;
    ASSERT_OK(gmk_chan_sub(chan_me, chan, fn, NULL, state, options, &sub));
    return sub;
}

int chan_say(uint32_t chan, uint64_t value) {
    gmk_task_t task = {.type = MSG, .meta0 = value};
    return gmk_chan_emit(chan_me, chan, &task);
}

uint64_t *chan_payload(gmk_ctx_t *ctx, uint64_t value) {
    uint64_t *block = gmk_alloc(ctx, 24);
    if (block != NULL)
        *block = value;
    return block;
}

int chan_say_payload(uint32_t chan, uint64_t value) {
    gmk_task_t task = {.type = MSG, .meta0 = value, .len = 24};
    task.payload = chan_payload(chan_me, value);
    assert_non_null(task.payload);
    int status = gmk_chan_emit(chan_me, chan, &task);
    if (status != GMK_OK)
        gmk_free(chan_me, task.payload);
    return status;
}

void chan_record_clear(struct chan_record *record) {
    memset(record, 0, sizeof(*record));
}

int chan_note(gmk_ctx_t *ctx) {
    struct chan_record *record = ctx->state;
    const gmk_task_t *task = ctx->task;
    uint32_t n = atomic_load_explicit(&record->count, memory_order_relaxed);
    if (task->payload != NULL && *(const uint64_t *)task->payload != task->meta0)
        atomic_fetch_add(&record->damaged, 1);
    if (n < CHAN_RECORD_MAX) {
        record->at[n].value = task->meta0;
        record->at[n].seq = task->seq;
        record->at[n].lost = ctx->lost;
        record->at[n].origin = gmk_task_origin(task);
        record->at[n].origin_seq = gmk_task_origin_seq(task);
        record->at[n].reason = (uint8_t)gmk_task_reason(task);
    }
    atomic_store_explicit(&record->count, n + 1, memory_order_release);
    return GMK_OK;
}

int chan_note_and_fail(gmk_ctx_t *ctx) {
    (void)chan_note(ctx);
    return GMK_EFAIL;
}

int chan_tally(gmk_ctx_t *ctx) {
    atomic_fetch_add_explicit((_Atomic uint64_t *)ctx->state, 1, memory_order_relaxed);
    return GMK_OK;
}

void chan_expect_run(const struct chan_record *record, uint64_t first, uint32_t count) {
    assert_int_equal(atomic_load(&record->count), count);
    assert_int_equal(atomic_load(&record->damaged), 0);
    for (uint32_t i = 0; i < count; i++) {
        if (record->at[i].value != first + i)
            fail_msg("message %u is %llu, expected %llu", i,
                     (unsigned long long)record->at[i].value, (unsigned long long)(first + i));
        assert_int_equal(record->at[i].lost, 0);
    }
}

gmk_chan_stats_t chan_stat(uint32_t chan) {
    gmk_chan_stats_t stats;
    ASSERT_OK(gmk_chan_stats(chan_me, chan, &stats));
    return stats;
}

static void thread_main(void *arg) {
    struct chan_thread *self = arg;
    gmk_ctx_t *ctx = gmk_attach(&chan_kernel);
    if (ctx == NULL)
        abort(); /* the fixture boots with room for every thread */
    self->fn(ctx, self->arg);
    gmk_detach(&chan_kernel);
}

void chan_start(struct chan_thread *thread, void (*fn)(gmk_ctx_t *ctx, void *arg), void *arg) {
    thread->fn = fn;
    thread->arg = arg;
    assert_int_equal(hal_thread_start(&thread->thread, "chan-test", 0, -1, thread_main, thread), 0);
}

void chan_join(struct chan_thread *thread) {
    hal_thread_join(&thread->thread);
}
