/* Scheduler fixture: boots small engines for tests, waits for conditions without a clock of
 * its own, blocks workers on purpose, and checks the conservation law before every halt. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ggmk/ggmk.h"
#include "hal/hal.h"

#define SCHED_ARENA    ((size_t)64 * 1024 * 1024)
#define SCHED_LIMIT_NS UINT64_C(60000000000) /* generous: reached only when something is lost */

/* Fails with the error's name. */
#define ASSERT_STATUS(call, expected)                                                         \
    do {                                                                                      \
        int status_ = (call), expected_ = (expected);                                         \
        if (status_ != expected_)                                                             \
            fail_msg("%s gave %s (%d), expected %s", #call, gmk_error_name(status_), status_, \
                     gmk_error_name(expected_));                                              \
    } while (0)
#define ASSERT_OK(call) ASSERT_STATUS(call, GMK_OK)

/* Waits until the condition holds; fails with its text when that never happens. */
#define EVENTUALLY(condition)                                  \
    do {                                                       \
        uint64_t until_ = hal_now_ns() + SCHED_LIMIT_NS;       \
        while (!(condition)) {                                 \
            if (hal_now_ns() > until_)                         \
                fail_msg("never became true: %s", #condition); \
            sched_pause();                                     \
        }                                                      \
    } while (0)

/* Sleeps some 100 us. */
void sched_pause(void);

/* Boots with these handlers as the module "test". A NULL cfg: one worker, 64 MiB. Zero
 * arena_size and n_workers mean the same. */
void sched_boot(gmk_kernel_t *kernel, const gmk_boot_cfg_t *cfg, const gmk_handler_reg_t *handlers,
                uint32_t n_handlers);

/* Drains, checks that everything that came in has ended, in sum and per tenant, halts. */
void sched_halt(gmk_kernel_t *kernel);

/* Submits, and again as long as the queue is full. */
void sched_submit(gmk_kernel_t *kernel, const gmk_task_t *task);

/* A handler that keeps its worker until the gate opens; meta0 points to the gate. Each
 * worker of an engine can be stopped that way. */
struct sched_gate {
    _Atomic uint32_t inside; /* handlers that wait in it */
    _Atomic uint32_t open;
};
int sched_gate_handler(gmk_ctx_t *ctx);

/* Submits `count` tasks of `type`, whose handler is sched_gate_handler, and waits until that
 * many workers are stopped. */
void sched_gate_shut(struct sched_gate *gate, gmk_kernel_t *kernel, uint32_t type, uint32_t count);
void sched_gate_open(struct sched_gate *gate);

/* Counts its runs in the counter that meta0 points to (not 0: then it only runs). */
int sched_count_handler(gmk_ctx_t *ctx);

/* A write function that appends to a buffer, for exports and dumps. */
struct sched_text {
    char text[256 * 1024];
    size_t length;
};
int sched_write(void *arg, const void *bytes, size_t size);
