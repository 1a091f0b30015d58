/* Task: the one unit of work, 64 bytes, copied by value from queue to handler. */
#pragma once

#include "ggmk/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A task is exactly one cache line. A ring cell is a task whose first word is the
 * ring's turn number, so one line moves between cores per task and nothing else.
 *
 * Zero-initialise and name what you need: { .type = 1, .meta0 = 42 } is complete.
 * Fields marked (runtime) are written by the engine; what a caller puts there is
 * ignored at submit and emit. */
typedef struct gmk_task {
    uint32_t turn;        /* (runtime) belongs to the ring cell; not part of the task's value */
    uint32_t type;        /* 1 .. GMK_TYPES_MAX-1: selects the handler */
    uint16_t flags;       /* GMK_PRIO(n) | GMK_TASK_...; upper byte is (runtime) */
    uint16_t channel;     /* (runtime) id of the channel that carried it, 0 = none */
    uint8_t tenant;       /* account that pays, below n_tenants */
    uint8_t sub;          /* (runtime) subscription of the channel, 1-based, 0 = none */
    uint16_t yield_count; /* (runtime) times this task gave way */
    uint64_t seq;         /* (runtime) position in its channel, counted from 1 */
    void *payload;        /* NULL, a block of gmk_alloc() (reference counted), or caller's memory */
    uint32_t len;         /* bytes at payload */
    uint32_t group;       /* task group handle, 0 = none; emitted tasks inherit it */
    uint64_t meta0;       /* two words for the user */
    uint64_t meta1;
    uint64_t when_ns; /* with GMK_TASK_DEADLINE: the deadline (caller); else (runtime) */
} gmk_task_t;

GMK_STATIC_ASSERT(sizeof(gmk_task_t) == GMK_CACHE_LINE, "a task is one cache line");
GMK_STATIC_ASSERT(offsetof(gmk_task_t, type) == 4, "the ring owns exactly the first word");

/* Priority: 0 is the most urgent, 3 the least. Zero flags mean GMK_PRIO_DEFAULT,
 * so that an untouched task is a normal one and nobody is urgent by accident. */
#define GMK_PRIO(n)            ((uint16_t)(((unsigned)(n)&3u) + 1u))
#define GMK_PRIO_DEFAULT       2u
#define GMK_TASK_PRIO_MASK     0x0007u
#define GMK_TASK_DETERMINISTIC 0x0008u /* run in the ordered lane: see docs/engine.md */
#define GMK_TASK_DEADLINE      0x0010u /* when_ns is the latest start, engine time */
#define GMK_TASK_STAMPED       0x0020u /* (runtime) when_ns is the time it was queued */
#define GMK_TASK_TOKEN         0x0040u /* (runtime) the engine's own: carries a queue, not a user task */
#define GMK_TASK_RETRY_SHIFT   8       /* (runtime) 4 bits: retries so far, at most 15 */
#define GMK_TASK_REASON_SHIFT  12      /* (runtime) 4 bits: enum gmk_drop_reason */
#define GMK_TASK_USER_FLAGS    0x001fu /* what a caller may set */

/* The priority that the flags encode, 0 .. 3. */
static inline unsigned gmk_task_priority(const gmk_task_t *task) {
    unsigned coded = task->flags & GMK_TASK_PRIO_MASK;
    return coded == 0 || coded > GMK_PRIORITIES ? GMK_PRIO_DEFAULT : coded - 1u;
}

/* How often the task has asked for another try, 0 .. 15. */
static inline unsigned gmk_task_retries(const gmk_task_t *task) {
    return ((unsigned)task->flags >> GMK_TASK_RETRY_SHIFT) & 15u;
}

/* Why it became a dead letter: enum gmk_drop_reason, GMK_DROP_NONE otherwise. */
static inline unsigned gmk_task_reason(const gmk_task_t *task) {
    return ((unsigned)task->flags >> GMK_TASK_REASON_SHIFT) & 15u;
}

/* A dead letter (a task that arrives on sys.dropped or sys.error) remembers the channel that
 * had carried it, 0 = none, and its sequence number there. */
static inline uint16_t gmk_task_origin(const gmk_task_t *letter) {
    return (uint16_t)letter->when_ns;
}

/* The low 48 bits of that sequence number. */
static inline uint64_t gmk_task_origin_seq(const gmk_task_t *letter) {
    return letter->when_ns >> 16;
}

#ifdef __cplusplus
}
#endif
