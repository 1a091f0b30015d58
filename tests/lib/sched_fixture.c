/* Scheduler fixture: see sched_fixture.h. */
#include "tests/lib/sched_fixture.h"

void sched_pause(void) {
    _Atomic uint32_t never;
    atomic_init(&never, 0);
    (void)hal_wait(&never, 0, 100000);
}

void sched_boot(gmk_kernel_t *kernel, const gmk_boot_cfg_t *cfg, const gmk_handler_reg_t *handlers,
                uint32_t n_handlers) {
    static gmk_module_t module; /* one for all: engines of one test have the same handlers */
    gmk_module_t *const mods[] = {&module};
    gmk_boot_cfg_t full = cfg != NULL ? *cfg : (gmk_boot_cfg_t){0};
    full.arena_size = full.arena_size != 0 ? full.arena_size : SCHED_ARENA;
    full.n_workers = full.n_workers != 0 ? full.n_workers : 1;
    full.no_auto_modules = true;
    module = (gmk_module_t){.name = "test",
                            .version = GMK_VERSION(0, 1, 0),
                            .handlers = handlers,
                            .n_handlers = n_handlers};
    *kernel = (gmk_kernel_t){0};
    ASSERT_OK(gmk_boot(kernel, &full, mods, 1));
}

static void assert_all_ended(const char *what, const gmk_counts_t *c) {
    if (c->queued != 0 || c->submitted + c->emitted != c->completed + c->failed + c->dropped)
        fail_msg(
            "%s: %llu submitted + %llu emitted, but %llu completed + %llu failed + %llu dropped",
            what, (unsigned long long)c->submitted, (unsigned long long)c->emitted,
            (unsigned long long)c->completed, (unsigned long long)c->failed,
            (unsigned long long)c->dropped);
}

void sched_halt(gmk_kernel_t *kernel) {
    gmk_counts_t counts;
    ASSERT_OK(gmk_drain(kernel, SCHED_LIMIT_NS));
    ASSERT_OK(gmk_counts(kernel, &counts));
    assert_all_ended("the engine", &counts);
    for (unsigned tenant = 0; tenant < GMK_TENANTS_MAX; tenant++)
        if (gmk_tenant_counts(kernel, (uint8_t)tenant, &counts) == GMK_OK)
            assert_all_ended("a tenant", &counts);
    ASSERT_OK(gmk_halt(kernel));
}

void sched_submit(gmk_kernel_t *kernel, const gmk_task_t *task) {
    int status;
    while ((status = gmk_submit(kernel, task)) == GMK_EAGAIN)
        hal_yield_cpu();
    ASSERT_OK(status);
}

int sched_gate_handler(gmk_ctx_t *ctx) {
    struct sched_gate *gate = (struct sched_gate *)(uintptr_t)ctx->task->meta0;
    atomic_fetch_add(&gate->inside, 1);
    while (atomic_load(&gate->open) == 0)
        (void)hal_wait(&gate->open, 0, HAL_FOREVER);
    atomic_fetch_sub(&gate->inside, 1);
    return GMK_OK;
}

void sched_gate_shut(struct sched_gate *gate, gmk_kernel_t *kernel, uint32_t type, uint32_t count) {
    gmk_task_t task = {.type = type, .meta0 = (uintptr_t)gate};
    atomic_store(&gate->open, 0);
    for (uint32_t i = 0; i < count; i++)
        sched_submit(kernel, &task);
    EVENTUALLY(atomic_load(&gate->inside) == count);
}

void sched_gate_open(struct sched_gate *gate) {
    atomic_store(&gate->open, 1);
    hal_wake(&gate->open, UINT32_MAX);
}

int sched_count_handler(gmk_ctx_t *ctx) {
    if (ctx->task->meta0 != 0)
        atomic_fetch_add((_Atomic uint64_t *)(uintptr_t)ctx->task->meta0, 1);
    return GMK_OK;
}

int sched_write(void *arg, const void *bytes, size_t size) {
    struct sched_text *text = arg;
    if (size > sizeof(text->text) - 1 - text->length)
        return GMK_ENOMEM;
    memcpy(text->text + text->length, bytes, size);
    text->length += size;
    text->text[text->length] = '\0';
    return GMK_OK;
}
