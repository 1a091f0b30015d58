/* Engine: boots, feeds and halts our side of a run, and audits it at the end. */
#include "bench/gmk.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define HANDLERS_MAX       4u
#define SPINS_BEFORE_YIELD 64u

gmk_kernel_t gmk_bench_kernel;
static gmk_handler_reg_t regs[HANDLERS_MAX];
static gmk_module_t module = {.name = "bench", .version = GMK_VERSION(0, 1, 0), .handlers = regs};

void gmk_bench_check(int status, const char *what) {
    if (status < 0) {
        fprintf(stderr, "bench: %s: %s: %s\n", what, gmk_error_name(status), gmk_strerror(status));
        abort();
    }
}

int gmk_bench_boot(const struct bench_config *config, const gmk_boot_cfg_t *cfg,
                   gmk_handler_fn const *handlers, uint32_t n_handlers) {
    gmk_module_t *mods[] = {&module};
    gmk_boot_cfg_t full = cfg != NULL ? *cfg : (gmk_boot_cfg_t){0};
    full.n_workers = config->workers;
    for (uint32_t i = 0; i < n_handlers; i++) {
        regs[i] = (gmk_handler_reg_t){.type = i + 1, .fn = handlers[i]};
    }
    module.n_handlers = n_handlers;
    bench_threads_note();
    int status = gmk_boot(&gmk_bench_kernel, &full, mods, 1);
    if (status != GMK_OK) {
        fprintf(stderr, "bench: gmk_boot: %s\n", gmk_strerror(status));
        return status;
    }
    bench_threads_pin_new(config->workers);
    return 0;
}

/* submitted + emitted = completed + failed + dropped + queued, and nothing is left over. */
static void audit(void) {
    gmk_counts_t c;
    gmk_bench_check(gmk_drain(&gmk_bench_kernel, BENCH_TIME_LIMIT_NS), "gmk_drain");
    gmk_bench_check(gmk_counts(&gmk_bench_kernel, &c), "gmk_counts");
    if (c.submitted + c.emitted != c.completed || c.failed + c.dropped + c.queued != 0) {
        fprintf(stderr,
                "bench: submitted %llu + emitted %llu != completed %llu; failed %llu, "
                "dropped %llu, queued %llu\n",
                (unsigned long long)c.submitted, (unsigned long long)c.emitted,
                (unsigned long long)c.completed, (unsigned long long)c.failed,
                (unsigned long long)c.dropped, (unsigned long long)c.queued);
        abort();
    }
}

void gmk_bench_halt(void) {
    audit();
    gmk_bench_check(gmk_halt(&gmk_bench_kernel), "gmk_halt");
}

static void wait_a_little(unsigned *spins) {
    if (++*spins < SPINS_BEFORE_YIELD) {
        bench_relax();
    } else {
        sched_yield();
    }
}

void gmk_bench_submit(const gmk_task_t *task) {
    unsigned spins = 0;
    int status;
    while ((status = gmk_submit(&gmk_bench_kernel, task)) == GMK_EAGAIN) {
        wait_a_little(&spins);
    }
    gmk_bench_check(status, "gmk_submit");
}

void gmk_bench_submit_n(const gmk_task_t *tasks, uint32_t count) {
    unsigned spins = 0;
    while (count != 0) {
        int taken = gmk_submit_n(&gmk_bench_kernel, tasks, count);
        if (taken == GMK_EAGAIN || taken == 0) {
            wait_a_little(&spins);
            continue;
        }
        gmk_bench_check(taken, "gmk_submit_n");
        tasks += taken;
        count -= (uint32_t)taken;
        spins = 0;
    }
}
