/* Lane: batches, ticks, the deterministic clock and the trace hash. See lane.h. */
#include "engine/lane.h"

#include <string.h>

#include "engine/run.h"
#include "engine/token.h"
#include "lib/hash.h"
#include "lib/rand.h"

size_t lane_bytes(uint32_t slots) {
    return (size_t)slots * (2 * sizeof(gmk_task_t) + sizeof(uint32_t));
}

void lane_init(struct lane *lane, void *memory, uint32_t slots, uint32_t reserve) {
    memset(lane, 0, sizeof(*lane));
    lane->current.tasks = memory;
    lane->next.tasks = lane->current.tasks + slots;
    lane->order = (uint32_t *)(void *)(lane->next.tasks + slots);
    lane->slots = slots;
    lane->reserve = reserve;
    atomic_init(&lane->hash, hash_begin(0));
}

/* Tasks in the lane that have not been taken. Under the lock. */
static uint32_t waiting(const struct lane *lane) {
    return lane->current.count - lane->cursor + lane->next.count;
}

int lane_add(struct agent *a, const gmk_task_t *task, enum enqueue_how how) {
    struct engine *eng = a->eng;
    struct lane *lane = eng->lane;
    bool call = false;

    hal_lock(&lane->lock);
    /* Whatever is taken can come again at once, so new tasks leave `reserve` free for that. */
    bool taken = how == ENQUEUE_NEW ? waiting(lane) < lane->slots - lane->reserve
                                    : lane->next.count < lane->slots;
    if (taken) {
        lane->next.tasks[lane->next.count++] = *task;
        call = !lane->token_out && !eng->cfg.deterministic;
        lane->token_out |= call;
    }
    struct agent *holder = atomic_load_explicit(&lane->holder, memory_order_relaxed);
    hal_unlock(&lane->lock);
    K_ASSERT(taken || how == ENQUEUE_NEW, "the lane has room for all that can come again");
    if (call) {
        gmk_task_t token = token_make(TOKEN_LANE, 0, 0, gmk_task_priority(task));
        int status = enqueue(a, &token, ENQUEUE_AGAIN);
        K_ASSERT(status == GMK_OK, "there is room for the lane's token");
    } else if (holder != NULL && holder != a) {
        (void)park_notify_slot(&eng->park, holder->index); /* it may wait inside a lane task */
    }
    return taken ? GMK_OK : GMK_EAGAIN;
}

bool lane_calls(struct agent *a) {
    struct lane *lane = a->eng->lane;
    /* Relaxed: only this worker makes itself the holder. */
    if (GMK_LIKELY(atomic_load_explicit(&lane->holder, memory_order_relaxed) != a))
        return false;
    hal_lock(&lane->lock);
    bool any = waiting(lane) != 0;
    hal_unlock(&lane->lock);
    return any;
}

/* Begins a tick: a stable counting sort by channel. Under the lock. */
static void next_tick(struct engine *eng) {
    struct lane *lane = eng->lane;
    struct lane_batch done = lane->current;
    uint32_t first[GMK_CHANNELS_MAX + 1] = {0};

    lane->current = lane->next;
    lane->next = done;
    lane->next.count = 0;
    lane->cursor = 0;
    for (uint32_t i = 0; i < lane->current.count; i++)
        first[lane->current.tasks[i].channel % GMK_CHANNELS_MAX + 1]++;
    for (uint32_t c = 1; c <= GMK_CHANNELS_MAX; c++)
        first[c] += first[c - 1];
    for (uint32_t i = 0; i < lane->current.count; i++)
        lane->order[first[lane->current.tasks[i].channel % GMK_CHANNELS_MAX]++] = i;
    atomic_fetch_add_explicit(&lane->tick, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&eng->lane_now, LANE_TICK_NS, memory_order_relaxed);
}

static bool take(struct engine *eng, gmk_task_t *out) {
    struct lane *lane = eng->lane;
    hal_lock(&lane->lock);
    if (lane->cursor == lane->current.count && lane->next.count != 0)
        next_tick(eng);
    bool taken = lane->cursor < lane->current.count;
    if (taken) {
        *out = lane->current.tasks[lane->order[lane->cursor++]];
        lane->serial++;
    }
    hal_unlock(&lane->lock);
    return taken;
}

/* Deterministic mode: due timers join the next tick; with nothing else to do the clock
 * jumps to the first of them. */
static void advance_clock(struct agent *a) {
    struct engine *eng = a->eng;
    uint64_t due = timer_next(&eng->timers);
    if (due == TIMER_NEVER)
        return;
    if (due > engine_now(eng))
        atomic_store_explicit(&eng->lane_now, due, memory_order_relaxed);
    (void)timer_poll(a);
}

bool lane_step(struct agent *a) {
    struct engine *eng = a->eng;
    gmk_task_t task;
    if (eng->cfg.deterministic && timer_next(&eng->timers) <= engine_now(eng))
        (void)timer_poll(a);
    if (!take(eng, &task)) {
        if (!eng->cfg.deterministic)
            return false;
        advance_clock(a);
        if (!take(eng, &task))
            return false;
    }
    if (eng->cfg.deterministic) {
        uint64_t seed = eng->cfg.seed ^ eng->lane->serial;
        a->random = rand_splitmix(&seed);
    }
    run_task(a, &task);
    return true;
}

void lane_run_token(struct agent *a) {
    struct lane *lane = a->eng->lane;
    atomic_store_explicit(&lane->holder, a, memory_order_relaxed);
    for (uint32_t i = 0; i < LANE_BATCH && lane_step(a); i++)
        continue;
    hal_lock(&lane->lock);
    bool more = waiting(lane) != 0;
    lane->token_out = more;
    atomic_store_explicit(&lane->holder, NULL, memory_order_relaxed);
    hal_unlock(&lane->lock);
    if (!more)
        return;
    gmk_task_t token = token_make(TOKEN_LANE, 0, 0, GMK_PRIO_DEFAULT);
    int status = enqueue(a, &token, ENQUEUE_AGAIN);
    K_ASSERT(status == GMK_OK, "there is room for the lane's token");
}

void lane_note_begin(struct agent *a, const gmk_task_t *task) {
    struct lane *lane = a->eng->lane;
    uint64_t hash = atomic_load_explicit(&lane->hash, memory_order_relaxed);
    hash = hash_u64(hash, atomic_load_explicit(&lane->tick, memory_order_relaxed));
    hash = hash_u64(hash, (uint64_t)task->type << 32 | (uint64_t)task->channel << 16 | task->sub);
    hash = hash_u64(hash, task->seq);
    hash = hash_u64(hash, task->meta0);
    hash = hash_u64(hash, task->meta1);
    hash = hash_u64(hash, task->len);
    if (task->payload != NULL && block_owns(&a->eng->arena.blocks, task->payload))
        hash = hash_bytes(hash, task->payload, task->len);
    atomic_store_explicit(&lane->hash, hash, memory_order_relaxed);
}

void lane_note_end(struct agent *a, int status) {
    struct lane *lane = a->eng->lane;
    uint64_t hash = atomic_load_explicit(&lane->hash, memory_order_relaxed);
    atomic_store_explicit(&lane->hash, hash_u64(hash, (uint64_t)(int64_t)status),
                          memory_order_relaxed);
}
