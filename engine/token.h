/* Token: the engine's own tasks, which carry a queue to a worker instead of one piece of
 * work: a channel subscription's turn, or the ordered lane's. Not counted as tasks. */
#pragma once

#include "engine/engine.h"

enum token_kind { TOKEN_SUBSCRIPTION = 1, TOKEN_LANE };

/* meta0 says what it carries; in deterministic mode tokens go through the lane as well,
 * sorted by `channel` like everything else there. */
static inline gmk_task_t token_make(enum token_kind kind, uint64_t what, uint32_t channel,
                                    unsigned priority) {
    return (gmk_task_t){
        .type = 0,
        .flags = (uint16_t)(GMK_TASK_TOKEN | GMK_PRIO(priority)),
        .channel = (uint16_t)channel,
        .len = kind,
        .meta0 = what,
    };
}

/* Runs one. Workers, and whoever steps the lane. */
void token_run(struct agent *a, gmk_task_t *token);
