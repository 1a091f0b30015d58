/* Test of task groups: trees by gmk_spawn, helping waits, cancelling, limits and misuse. */
#include "tests/lib/sched_fixture.h"

enum { GATE = 1, TREE, ROOT, NEST, COUNT, OWN, LONG, EMITTER, DEEP };

static gmk_kernel_t kernel;
static struct sched_gate gate;
static _Atomic uint64_t leaves;
static _Atomic uint64_t counted;
static _Atomic int result;
static _Atomic uint32_t seen_canceled;

static int tree_handler(gmk_ctx_t *ctx) {
    if (ctx->task->meta0 == 0) {
        atomic_fetch_add(&leaves, 1);
        return GMK_OK;
    }
    gmk_task_t child = {.type = TREE, .meta0 = ctx->task->meta0 - 1};
    ASSERT_OK(gmk_spawn(ctx, &child));
    return gmk_spawn(ctx, &child);
}

/* Opens a group, grows a tree of 2^meta0 leaves in it, waits by helping. Helping may have
 * brought it so deep into other roots' waits that it has to give way first; meta1 remembers. */
static int root_handler(gmk_ctx_t *ctx) {
    uint32_t group = (uint32_t)ctx->task->meta1;
    if (group == 0) {
        ASSERT_OK(gmk_group_open(ctx, 0, &group));
        gmk_task_t tree = {.type = TREE, .meta0 = ctx->task->meta0, .group = group};
        ASSERT_OK(gmk_spawn(ctx, &tree));
        ctx->task->meta1 = group;
    }
    int status = gmk_group_wait(ctx, group);
    if (status == GMK_EDEPTH) {
        gmk_yield_at(ctx, gmk_now(ctx) + 100000);
        return GMK_OK;
    }
    ASSERT_OK(status);
    atomic_fetch_add(&counted, 1);
    return GMK_OK;
}

/* A wait inside a wait, meta0 levels deep, each for the one below it. */
static int nest_handler(gmk_ctx_t *ctx) {
    uint32_t group;
    atomic_fetch_add(&counted, 1);
    if (ctx->task->meta0 == 0)
        return GMK_OK;
    int status = gmk_group_open(ctx, 0, &group);
    if (status != GMK_OK) { /* groups nest less deep than waits */
        atomic_store(&result, status);
        return GMK_OK;
    }
    gmk_task_t below = {.type = NEST, .meta0 = ctx->task->meta0 - 1, .group = group};
    ASSERT_OK(gmk_spawn(ctx, &below));
    ASSERT_OK(gmk_group_wait(ctx, group));
    return GMK_OK;
}

/* Waits inside waits without nested groups: each helps the next until the depth is used up.
 * The handle stays then, and must be dropped. */
static int deep_handler(gmk_ctx_t *ctx) {
    uint32_t group;
    atomic_fetch_add(&counted, 1);
    ASSERT_OK(gmk_group_open(ctx, 0, &group));
    gmk_task_t below = {.type = COUNT, .group = group};
    ASSERT_OK(gmk_emit(ctx, &below));
    int status = gmk_group_wait(ctx, group);
    if (status == GMK_EDEPTH) {
        atomic_store(&result, status);
        ASSERT_OK(gmk_group_drop(ctx, group));
    } else {
        ASSERT_OK(status);
    }
    return GMK_OK;
}

static int own_handler(gmk_ctx_t *ctx) {
    uint32_t child;
    ASSERT_STATUS(gmk_group_wait(ctx, ctx->task->group), GMK_EINVAL);
    ASSERT_OK(gmk_group_open(ctx, 0, &child));
    ASSERT_OK(gmk_group_wait(ctx, child)); /* an empty one below is none of our own */
    atomic_fetch_add(&counted, 1);
    return GMK_OK;
}

/* Runs until its group is cancelled. */
static int long_handler(gmk_ctx_t *ctx) {
    atomic_fetch_add(&gate.inside, 1);
    while (!gmk_canceled(ctx))
        hal_yield_cpu();
    atomic_fetch_add(&seen_canceled, 1);
    return GMK_OK;
}

/* Emits on behalf of its group; what it emits inherits the group. */
static int emitter_handler(gmk_ctx_t *ctx) {
    gmk_task_t task = {.type = COUNT, .meta0 = (uintptr_t)&counted};
    for (uint64_t i = 0; i < ctx->task->meta0; i++)
        ASSERT_OK(gmk_emit(ctx, &task));
    return GMK_OK;
}

static const gmk_handler_reg_t handlers[] = {
    {GATE, sched_gate_handler, "gate"},    {TREE, tree_handler, "tree"},
    {ROOT, root_handler, "root"},          {NEST, nest_handler, "nest"},
    {COUNT, sched_count_handler, "count"}, {OWN, own_handler, "own"},
    {LONG, long_handler, "long"},          {EMITTER, emitter_handler, "emitter"},
    {DEEP, deep_handler, "deep"},
};

static void start(const gmk_boot_cfg_t *cfg) {
    atomic_store(&leaves, 0);
    atomic_store(&counted, 0);
    atomic_store(&result, GMK_OK);
    atomic_store(&seen_canceled, 0);
    atomic_store(&gate.inside, 0);
    sched_boot(&kernel, cfg, handlers, sizeof(handlers) / sizeof(handlers[0]));
}

static gmk_ctx_t *attach(void) {
    gmk_ctx_t *ctx = gmk_attach(&kernel);
    assert_non_null(ctx);
    return ctx;
}

static void drain(void) {
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
}

static uint64_t dropped_of(uint32_t type) {
    gmk_counts_t counts;
    ASSERT_OK(gmk_type_counts(&kernel, type, &counts));
    return counts.dropped;
}

/* ---- Trees and waits --------------------------------------------------------------------- */

static void a_tree_of_65536_leaves_is_spawned_and_waited_for(void **state) {
    (void)state;
    for (uint32_t workers = 1; workers <= 3; workers++) {
        start(&(gmk_boot_cfg_t){.n_workers = workers});
        gmk_task_t task = {.type = ROOT, .meta0 = 16};
        ASSERT_OK(gmk_submit(&kernel, &task));
        drain();
        assert_int_equal(atomic_load(&leaves), 65536);
        assert_int_equal(atomic_load(&counted), 1);
        sched_halt(&kernel);
    }
}

static void many_trees_at_once_do_not_mix_their_groups(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){.n_workers = 2});
    gmk_task_t task = {.type = ROOT, .meta0 = 6};
    for (int i = 0; i < 500; i++)
        sched_submit(&kernel, &task);
    drain();
    assert_int_equal(atomic_load(&leaves), 500 * 64);
    assert_int_equal(atomic_load(&counted), 500);
    sched_halt(&kernel);
}

static void an_attached_thread_waits_for_what_it_submitted(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){.n_workers = 2});
    gmk_ctx_t *ctx = attach();
    for (uint64_t round = 1; round <= 200; round++) {
        uint32_t group;
        ASSERT_OK(gmk_group_open(ctx, 0, &group));
        gmk_task_t task = {.type = COUNT, .meta0 = (uintptr_t)&counted, .group = group};
        for (int i = 0; i < 7; i++)
            sched_submit(&kernel, &task);
        ASSERT_OK(gmk_group_wait(ctx, group));
        assert_int_equal(atomic_load(&counted), 7 * round);
    }
    sched_halt(&kernel);
}

struct helper {
    struct hal_thread thread;
    uint32_t group;
    int status;
    _Atomic uint32_t done, leave;
};

static void submit_and_stay(void *arg) {
    struct helper *h = arg;
    gmk_task_t task = {.type = COUNT, .meta0 = (uintptr_t)&counted, .group = h->group};
    for (int i = 0; i < 10; i++)
        sched_submit(&kernel, &task);
    atomic_store(&h->done, 1);
    EVENTUALLY(atomic_load(&h->leave) != 0); /* attached, but it makes no more calls */
}

/* What a foreign thread holds for a group must not keep the group from ending. */
static void a_group_ends_although_another_thread_submitted_to_it_and_stays(void **state) {
    (void)state;
    start(NULL);
    struct helper h = {0};
    gmk_ctx_t *ctx = attach();
    ASSERT_OK(gmk_group_open(ctx, 0, &h.group));
    assert_int_equal(hal_thread_start(&h.thread, "helper", 0, -1, submit_and_stay, &h), 0);
    EVENTUALLY(atomic_load(&h.done) != 0);
    ASSERT_OK(gmk_group_wait(ctx, h.group));
    assert_int_equal(atomic_load(&counted), 10);
    atomic_store(&h.leave, 1);
    hal_thread_join(&h.thread);
    sched_halt(&kernel);
}

static void emitted_tasks_inherit_the_group(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){.n_workers = 2});
    gmk_ctx_t *ctx = attach();
    uint32_t group;
    ASSERT_OK(gmk_group_open(ctx, 0, &group));
    gmk_task_t task = {.type = EMITTER, .meta0 = 100, .group = group};
    ASSERT_OK(gmk_submit(&kernel, &task));
    ASSERT_OK(gmk_group_wait(ctx, group));
    assert_int_equal(atomic_load(&counted), 100);
    sched_halt(&kernel);
}

static void waits_nest_as_deep_as_groups_do(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){.n_workers = 2});
    gmk_task_t task = {.type = NEST, .meta0 = GMK_GROUP_DEPTH_MAX};
    ASSERT_OK(gmk_submit(&kernel, &task));
    drain();
    assert_int_equal(atomic_load(&counted), GMK_GROUP_DEPTH_MAX + 1);
    assert_int_equal(atomic_load(&result), GMK_OK);
    task.meta0 = GMK_GROUP_DEPTH_MAX + 1;
    ASSERT_OK(gmk_submit(&kernel, &task));
    drain();
    assert_int_equal(atomic_load(&result), GMK_EDEPTH);
    sched_halt(&kernel);
}

/* Each wait helps by running the next waiter, until the stack is as deep as is allowed. */
static void helping_waits_nested_too_deep_say_so_and_lose_nothing(void **state) {
    (void)state;
    start(NULL);
    sched_gate_shut(&gate, &kernel, GATE, 1);
    gmk_task_t task = {.type = DEEP};
    for (int i = 0; i < 500; i++)
        ASSERT_OK(gmk_submit(&kernel, &task));
    sched_gate_open(&gate);
    drain();
    assert_int_equal(atomic_load(&counted), 500);
    sched_halt(&kernel);
}

/* ---- Cancelling --------------------------------------------------------------------------- */

static void cancel_ends_queued_and_timed_tasks_of_the_whole_subtree(void **state) {
    (void)state;
    start(NULL);
    gmk_ctx_t *ctx = attach();
    uint32_t top, middle, low, other;
    ASSERT_OK(gmk_group_open(ctx, 0, &top));
    ASSERT_OK(gmk_group_open(ctx, top, &middle));
    ASSERT_OK(gmk_group_open(ctx, middle, &low));
    ASSERT_OK(gmk_group_open(ctx, 0, &other));
    sched_gate_shut(&gate, &kernel, GATE, 1);
    const uint32_t groups[] = {top, middle, low, other};
    uint64_t hour = gmk_now(ctx) + UINT64_C(3600000000000);
    for (int g = 0; g < 4; g++) {
        gmk_task_t task = {.type = COUNT, .meta0 = (uintptr_t)&counted, .group = groups[g]};
        for (int i = 0; i < 10; i++)
            ASSERT_OK(gmk_submit(&kernel, &task));
        if (g < 3)
            ASSERT_OK(gmk_submit_at(&kernel, &task, hour));
    }
    ASSERT_OK(gmk_group_cancel(ctx, top));
    gmk_task_t late = {.type = COUNT, .group = low};
    ASSERT_STATUS(gmk_submit(&kernel, &late), GMK_ECANCELED);
    ASSERT_STATUS(gmk_submit_at(&kernel, &late, hour), GMK_ECANCELED);
    sched_gate_open(&gate);
    /* The waits would take an hour if the timed tasks stayed. */
    ASSERT_STATUS(gmk_group_wait(ctx, low), GMK_ECANCELED);
    ASSERT_STATUS(gmk_group_wait(ctx, middle), GMK_ECANCELED);
    ASSERT_STATUS(gmk_group_wait(ctx, top), GMK_ECANCELED);
    ASSERT_OK(gmk_group_wait(ctx, other));
    assert_int_equal(atomic_load(&counted), 10);
    assert_int_equal(dropped_of(COUNT), 33);
    sched_halt(&kernel);
}

static void a_running_task_can_ask_whether_it_was_cancelled(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){.n_workers = 2});
    gmk_ctx_t *ctx = attach();
    uint32_t top, low;
    ASSERT_OK(gmk_group_open(ctx, 0, &top));
    ASSERT_OK(gmk_group_open(ctx, top, &low));
    gmk_task_t task = {.type = LONG, .group = low};
    ASSERT_OK(gmk_submit(&kernel, &task));
    EVENTUALLY(atomic_load(&gate.inside) == 1);
    ASSERT_OK(gmk_group_drop(ctx, low));
    ASSERT_OK(gmk_group_cancel(ctx, top));
    ASSERT_STATUS(gmk_group_wait(ctx, top), GMK_ECANCELED);
    assert_int_equal(atomic_load(&seen_canceled), 1);
    assert_false(gmk_canceled(ctx));
    sched_halt(&kernel);
}

/* ---- Limits and misuse ---------------------------------------------------------------------- */

static void a_task_must_not_wait_for_its_own_group(void **state) {
    (void)state;
    start(NULL);
    gmk_ctx_t *ctx = attach();
    uint32_t group;
    ASSERT_OK(gmk_group_open(ctx, 0, &group));
    gmk_task_t task = {.type = OWN, .group = group};
    ASSERT_OK(gmk_submit(&kernel, &task));
    ASSERT_OK(gmk_group_wait(ctx, group));
    assert_int_equal(atomic_load(&counted), 1);
    sched_halt(&kernel);
}

static void groups_are_limited_and_come_back(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){.max_groups = 4});
    gmk_ctx_t *ctx = attach();
    uint32_t groups[4], more;
    for (int round = 0; round < 70000; round += 4) { /* generations wrap as well */
        for (int i = 0; i < 4; i++)
            ASSERT_OK(gmk_group_open(ctx, 0, &groups[i]));
        if (round == 0)
            ASSERT_STATUS(gmk_group_open(ctx, 0, &more), GMK_ELIMIT);
        for (int i = 0; i < 4; i++)
            ASSERT_OK(i % 2 ? gmk_group_drop(ctx, groups[i]) : gmk_group_wait(ctx, groups[i]));
    }
    sched_halt(&kernel);
}

static void a_dropped_group_lives_until_its_tasks_have_ended(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){.max_groups = 1});
    gmk_ctx_t *ctx = attach();
    uint32_t group, more;
    ASSERT_OK(gmk_group_open(ctx, 0, &group));
    sched_gate_shut(&gate, &kernel, GATE, 1);
    gmk_task_t task = {.type = COUNT, .meta0 = (uintptr_t)&counted, .group = group};
    ASSERT_OK(gmk_submit(&kernel, &task));
    ASSERT_OK(gmk_group_drop(ctx, group));
    ASSERT_STATUS(gmk_group_open(ctx, 0, &more), GMK_ELIMIT);
    ASSERT_STATUS(gmk_group_drop(ctx, group), GMK_EINVAL);
    ASSERT_STATUS(gmk_group_wait(ctx, group), GMK_EINVAL);
    sched_gate_open(&gate);
    EVENTUALLY(gmk_group_open(ctx, 0, &more) == GMK_OK);
    assert_int_equal(atomic_load(&counted), 1);
    ASSERT_OK(gmk_group_drop(ctx, more));
    sched_halt(&kernel);
}

static void handles_that_name_no_group_are_refused(void **state) {
    (void)state;
    start(NULL);
    gmk_ctx_t *ctx = attach();
    uint32_t group;
    ASSERT_OK(gmk_group_open(ctx, 0, &group));
    ASSERT_OK(gmk_group_wait(ctx, group));
    const uint32_t bad[] = {group, 0, 1, 0xffffu, 0x10000u, UINT32_MAX};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ASSERT_STATUS(gmk_group_wait(ctx, bad[i]), GMK_EINVAL);
        ASSERT_STATUS(gmk_group_drop(ctx, bad[i]), GMK_EINVAL);
        ASSERT_STATUS(gmk_group_cancel(ctx, bad[i]), GMK_EINVAL);
        gmk_task_t task = {.type = COUNT, .group = bad[i]};
        if (bad[i] != 0)
            ASSERT_STATUS(gmk_submit(&kernel, &task), GMK_EINVAL);
        if (bad[i] != 0)
            ASSERT_STATUS(gmk_group_open(ctx, bad[i], &group), GMK_EINVAL);
    }
    ASSERT_STATUS(gmk_group_open(NULL, 0, &group), GMK_EINVAL);
    ASSERT_STATUS(gmk_group_open(ctx, 0, NULL), GMK_EINVAL);
    ASSERT_STATUS(gmk_group_wait(NULL, 1), GMK_EINVAL);
    assert_false(gmk_canceled(NULL));
    sched_halt(&kernel);
}

static void a_wait_works_in_deterministic_mode(void **state) {
    (void)state;
    start(&(gmk_boot_cfg_t){.deterministic = true, .ready_slots = 8192});
    gmk_task_t task = {.type = ROOT, .meta0 = 8};
    ASSERT_OK(gmk_submit(&kernel, &task));
    ASSERT_OK(gmk_drain(&kernel, SCHED_LIMIT_NS));
    assert_int_equal(atomic_load(&leaves), 256);
    assert_int_equal(atomic_load(&counted), 1);
    sched_halt(&kernel);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_of_65536_leaves_is_spawned_and_waited_for),
        cmocka_unit_test(many_trees_at_once_do_not_mix_their_groups),
        cmocka_unit_test(an_attached_thread_waits_for_what_it_submitted),
        cmocka_unit_test(a_group_ends_although_another_thread_submitted_to_it_and_stays),
        cmocka_unit_test(emitted_tasks_inherit_the_group),
        cmocka_unit_test(waits_nest_as_deep_as_groups_do),
        cmocka_unit_test(helping_waits_nested_too_deep_say_so_and_lose_nothing),
        cmocka_unit_test(cancel_ends_queued_and_timed_tasks_of_the_whole_subtree),
        cmocka_unit_test(a_running_task_can_ask_whether_it_was_cancelled),
        cmocka_unit_test(a_task_must_not_wait_for_its_own_group),
        cmocka_unit_test(groups_are_limited_and_come_back),
        cmocka_unit_test(a_dropped_group_lives_until_its_tasks_have_ended),
        cmocka_unit_test(handles_that_name_no_group_are_refused),
        cmocka_unit_test(a_wait_works_in_deterministic_mode),
    };
    return cmocka_run_group_tests_name("group_tree", tests, NULL, NULL);
}
