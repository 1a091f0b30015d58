/* Channel help: what a sender on a worker does about a full log: makes room. See chan.h. */
#include "engine/chan.h"
#include "engine/gather.h"

/* One message of a parallel subscription. We have no token, so the pin keeps it from ending. */
static bool help_parallel(struct agent *a, struct channel *ch, struct chan_sub *sub) {
    gmk_task_t task;
    if (!sub_pin(a, ch, sub))
        return false;
    bool claimed = chan_is_parallel(sub) && sub_claim(a, ch, sub, &task);
    if (claimed) {
        chan_made_room(a, ch);
        if (sub_is_cut(sub))
            task_dropped(a, &task, GMK_DROP_CLOSED);
        else
            run_task(a, &task);
    }
    sub_unpin(a, sub);
    return claimed;
}

/* A turn of an ordered one. Seized, it cannot end; should the structure serve another
 * channel by now, then that one is helped. */
static bool help_ordered(struct agent *a, struct chan_sub *sub) {
    if (!sub_seize(sub))
        return false;
    sub_turn(a, sub, GMK_PRIO_DEFAULT);
    return true;
}

static bool help(struct agent *a, struct channel *ch, struct chan_sub *sub) {
    /* Relaxed: a hint; the pin or the seizure decides. */
    uint32_t kind = SUB_KIND(atomic_load_explicit(&sub->state, memory_order_relaxed));
    if (kind == SUB_PARALLEL)
        return help_parallel(a, ch, sub);
    return kind == SUB_QUEUED && help_ordered(a, sub);
}

bool chan_help(struct agent *a, struct channel *ch) {
    gmk_task_t urgent;
    bool helped = false;
    if (a->eng->cfg.deterministic)
        return false; /* there the lane alone says what runs next */
    while (a->depth < GMK_HELP_DEPTH_MAX && gather_urgent(a, &urgent))
        run_task(a, &urgent);
    CHAN_EACH_SUB(ch, sub) {
        if (a->depth < GMK_HELP_DEPTH_MAX)
            helped |= help(a, ch, sub);
    }
    return helped;
}
