/* Sandbox: sets a box up, runs handlers in it, and answers what was recorded.
 * See engine/sandbox.h for how handlers get here. */
#include "engine/sandbox.h"

#include <string.h>

#include "engine/log.h"
#include "engine/module.h"

/* The pool starts at a multiple of 16 behind the box. */
#define POOL_ALIGN 16u

GMK_API size_t gmk_sandbox_size(void) {
    return sizeof(struct sandbox) + POOL_ALIGN + GMK_SANDBOX_MEMORY;
}

static void system_channels(struct sandbox *box) {
    static const char *const names[] = {"sys.dropped", "sys.error"};
    for (uint32_t i = 0; i < 2; i++)
        memcpy(box->chans[i].name, names[i], strlen(names[i]) + 1);
    box->n_chans = 2;
}

GMK_API gmk_sandbox_t *gmk_sandbox_init(void *memory, size_t size) {
    if (memory == NULL || size < gmk_sandbox_size() || (uintptr_t)memory % 8 != 0)
        return NULL;
    struct sandbox *box = memory;
    memset(box, 0, sizeof *box);
    uintptr_t behind = (uintptr_t)memory + sizeof *box;
    size_t skip = (POOL_ALIGN - behind % POOL_ALIGN) % POOL_ALIGN;
    box->pool = (unsigned char *)memory + sizeof *box + skip;
    size_t room = size - sizeof *box - skip;
    if (room > UINT32_MAX / 2)
        room = UINT32_MAX / 2; /* offsets have 32 bits */
    box->pool_size = room - room % POOL_ALIGN;
    box->random = rand_seed(0);
    box->ctx.kernel = &box->kernel;
    box->ctx.sandbox = box;
    system_channels(box);
    return box;
}

GMK_API gmk_ctx_t *gmk_sandbox_ctx(gmk_sandbox_t *box) {
    return &box->ctx;
}

GMK_API void gmk_sandbox_reset(gmk_sandbox_t *box) {
    box->n_emits = 0;
    memset(box->groups, 0, sizeof box->groups);
    box->waits = 0;
    sandbox_forget_blocks(box);
    box->faults = 0;
    box->first_fault = NULL;
}

/* ---- Running ----------------------------------------------------------------------- */

/* What the engine writes into a task before it queues it again. */
static void count_again(gmk_task_t *task, int status) {
    unsigned retries = gmk_task_retries(task);
    if (status == GMK_YIELDED) {
        if (task->yield_count < UINT16_MAX)
            task->yield_count++;
        return;
    }
    if (retries < 15)
        retries++;
    task->flags = (uint16_t)((task->flags & ~(15u << GMK_TASK_RETRY_SHIFT)) |
                             retries << GMK_TASK_RETRY_SHIFT);
}

GMK_API int gmk_sandbox_run(gmk_sandbox_t *box, gmk_handler_fn fn, const gmk_task_t *task,
                            void *state) {
    gmk_task_t copy = {0};
    if (task != NULL)
        copy = *task; /* `task` may be box->task itself, or a recorded one */
    box->task = copy;
    sandbox_bump_reset(box);
    sandbox_run_takes(box, copy.payload);
    box->ctx.task = task != NULL ? &box->task : NULL;
    box->ctx.state = state;
    box->ctx.outcome = 0;
    box->ctx.resume_ns = 0;

    int status = fn(&box->ctx);

    if (box->ctx.outcome != 0)
        status = GMK_YIELDED;
    bool again = status == GMK_YIELDED || status == GMK_RETRY;
    if (again)
        count_again(&box->task, status);
    box->resume_ns = box->ctx.resume_ns;
    box->ctx.task = NULL;
    sandbox_run_ends(box, again);
    sandbox_check(box);
    return status;
}

GMK_API const gmk_task_t *gmk_sandbox_task(const gmk_sandbox_t *box) {
    return &box->task;
}

GMK_API uint64_t gmk_sandbox_resume_ns(const gmk_sandbox_t *box) {
    return box->resume_ns;
}

/* ---- What was recorded --------------------------------------------------------------- */

GMK_API uint32_t gmk_sandbox_emit_count(const gmk_sandbox_t *box) {
    return box->n_emits;
}

GMK_API const gmk_sandbox_emit_t *gmk_sandbox_emit_at(const gmk_sandbox_t *box, uint32_t index) {
    return index < box->n_emits ? &box->emits[index] : NULL;
}

GMK_API uint32_t gmk_sandbox_faults(gmk_sandbox_t *box) {
    sandbox_check(box);
    return box->faults;
}

GMK_API const char *gmk_sandbox_fault(gmk_sandbox_t *box) {
    sandbox_check(box);
    return box->first_fault;
}

GMK_API uint32_t gmk_sandbox_group_waits(const gmk_sandbox_t *box) {
    return box->waits;
}

GMK_API uint32_t gmk_sandbox_open_groups(const gmk_sandbox_t *box) {
    uint32_t open = 0;
    for (uint32_t i = 0; i < GMK_SANDBOX_GROUPS_MAX; i++)
        open += box->groups[i].handle != 0;
    return open;
}

GMK_API uint64_t gmk_sandbox_metric(const gmk_sandbox_t *box, const char *name) {
    for (uint32_t i = 0; i < box->n_metrics; i++) {
        if (strcmp(box->metrics[i].name, name) == 0)
            return box->metrics[i].value;
    }
    return 0;
}

void sandbox_fault(struct sandbox *box, const char *sentence) {
    if (box->faults == 0)
        box->first_fault = sentence;
    box->faults++;
    log_line(GMK_LOG_ERROR, "sandbox", "%s", sentence);
}

/* ---- Knobs ------------------------------------------------------------------------------ */

GMK_API uint32_t gmk_sandbox_channel(gmk_sandbox_t *box, const char *name, uint32_t type) {
    uint32_t chan = 0;
    int status = sandbox_chan_open(box, name, type, &chan);
    if (status == GMK_EEXIST && sandbox_chan_find(box, name, &chan) == GMK_OK)
        return box->chans[chan - 1].type == type ? chan : 0;
    return status == GMK_OK ? chan : 0;
}

GMK_API int gmk_sandbox_service(gmk_sandbox_t *box, const char *name, uint32_t version,
                                const void *interface) {
    return service_publish(&box->services, MODULE_NONE, name, version, interface, GMK_USER);
}

GMK_API void gmk_sandbox_fail_alloc(gmk_sandbox_t *box, uint32_t nth) {
    box->fail_alloc = (struct sandbox_failure){.left = nth};
}

GMK_API void gmk_sandbox_fail_emit(gmk_sandbox_t *box, uint32_t nth, int status) {
    box->fail_emit = (struct sandbox_failure){.left = nth, .status = status};
}

GMK_API void gmk_sandbox_set_now(gmk_sandbox_t *box, uint64_t now_ns) {
    box->now_ns = now_ns;
}

GMK_API void gmk_sandbox_set_canceled(gmk_sandbox_t *box, bool canceled) {
    box->canceled = canceled;
}

bool sandbox_fails(struct sandbox_failure *failure) {
    if (failure->left == 0)
        return false;
    failure->left--;
    return failure->left == 0;
}
