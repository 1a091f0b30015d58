/* Worker: the loop, and starting and stopping the threads. See worker.h. */
#include "engine/worker.h"

#include "engine/agent.h"
#include "engine/gather.h"
#include "engine/run.h"
#include "engine/wake.h"
#include "lib/format.h"

static void worker_main(void *arg) {
    struct agent *a = arg;
    gmk_task_t task;
    bool bound = agent_bind(a);
    K_ASSERT(bound, "a new thread has a record for its engine");
    for (;;) {
        if (gather(a, &task)) {
            run_task(a, &task);
        } else {
            block_cache_trim(a->blocks);
            if (atomic_load_explicit(&a->eng->stop, memory_order_acquire) != 0)
                break;
            wake_idle(a, NULL, NULL, TIMER_NEVER);
        }
    }
    block_cache_flush(a->blocks);
    agent_unbind(a);
}

int worker_start_all(struct engine *eng) {
    for (uint32_t i = 0; i < eng->n_workers; i++) {
        struct agent *a = eng->agents[i];
        char name[16];
        (void)format_string(name, sizeof(name), "gmk-w%u", i);
        int cpu = eng->cfg.pin_workers ? (int)i : -1;
        int error = hal_thread_start(&a->thread, name, ENGINE_STACK_BYTES, cpu, worker_main, a);
        if (error != 0) {
            log_line(GMK_LOG_ERROR, "boot", "worker %u did not start: platform error %d", i, error);
            eng->n_started = i;
            return GMK_ESYS;
        }
        eng->n_started = i + 1;
    }
    return GMK_OK;
}

void worker_stop_all(struct engine *eng) {
    /* seq_cst pairs with the last look before a worker parks. */
    atomic_store_explicit(&eng->stop, 1, memory_order_seq_cst);
    wake_everyone(eng);
    for (uint32_t i = 0; i < eng->n_started; i++)
        hal_thread_join(&eng->agents[i]->thread);
    eng->n_started = 0;
}
