/* Token: which queue a token carries. See token.h. */
#include "engine/token.h"

#include "engine/chan.h"
#include "engine/lane.h"

void token_run(struct agent *a, gmk_task_t *token) {
    uint32_t outer = atomic_load_explicit(&a->running, memory_order_relaxed);
    switch ((enum token_kind)token->len) {
    case TOKEN_SUBSCRIPTION:
        sub_run(a, (struct chan_sub *)(uintptr_t)token->meta0, token);
        break;
    case TOKEN_LANE:
        lane_run_token(a);
        break;
    }
    atomic_store_explicit(&a->running, outer, memory_order_relaxed);
}
