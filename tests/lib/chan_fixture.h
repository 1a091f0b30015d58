/* Channel fixture: one engine with the test's thread attached, channels of one message type,
 * subscribers that write down what they get, and at the end the books: every delivery has
 * ended, every payload is freed exactly once. */
#pragma once

#include <stdatomic.h>
#include <stdlib.h>

#include "tests/lib/sched_fixture.h"

#define MSG   100u /* the message type; no handler of its own */
#define OTHER 101u /* another one */

extern gmk_kernel_t chan_kernel;
extern gmk_ctx_t *chan_me; /* the test's own context */

/* Boots with `workers`; chan_up_with() with a whole configuration (zeroes: the fixture's
 * choice), the handlers GATE, COUNT and FAIL (returns GMK_EFAIL) are there. */
#define CHAN_GATE  1u
#define CHAN_COUNT 2u
#define CHAN_FAIL  3u
void chan_up(uint32_t workers);
void chan_up_with(const gmk_boot_cfg_t *cfg);

/* Drains, checks the books, halts. */
void chan_down(void);
void chan_books(void);

/* Live blocks: allocated and not freed. Exact when nothing runs. */
uint64_t chan_blocks_live(void);

/* Waits until nothing is queued, running or timed. */
void chan_drain(void);

/* Opens a channel of type MSG; subscribes. Fail the test when refused. */
uint32_t chan_make(const char *name, uint32_t options, uint32_t slots);
uint32_t chan_listen(uint32_t chan, gmk_handler_fn fn, void *state, uint32_t options);

/* Emits one MSG with this meta0 from the test's thread. */
int chan_say(uint32_t chan, uint64_t value);

/* A block with `value` in its first word; emits it as payload with meta0 = value. */
uint64_t *chan_payload(gmk_ctx_t *ctx, uint64_t value);
int chan_say_payload(uint32_t chan, uint64_t value);

/* What a subscriber got, in order. For ordered subscriptions, or one worker: one writer. */
#define CHAN_RECORD_MAX 65536u
struct chan_record {
    _Atomic uint32_t count;
    _Atomic uint32_t damaged; /* payloads whose first word was not meta0 */
    struct {
        uint64_t value, seq, lost, origin_seq;
        uint16_t origin;
        uint8_t reason;
    } at[CHAN_RECORD_MAX];
};
void chan_record_clear(struct chan_record *record);

/* Handlers with a chan_record as state. The second one returns GMK_EFAIL after noting. */
int chan_note(gmk_ctx_t *ctx);
int chan_note_and_fail(gmk_ctx_t *ctx);

/* Counts in the _Atomic uint64_t that is its state. */
int chan_tally(gmk_ctx_t *ctx);

/* Fails unless the record is exactly first, first + 1, .. (count of them), without loss. */
void chan_expect_run(const struct chan_record *record, uint64_t first, uint32_t count);

/* The channel's statistics, which must be there. */
gmk_chan_stats_t chan_stat(uint32_t chan);

/* Threads that run fn(arg) with a context of their own, attached and detached for them. */
struct chan_thread {
    struct hal_thread thread;
    void (*fn)(gmk_ctx_t *ctx, void *arg);
    void *arg;
};
void chan_start(struct chan_thread *thread, void (*fn)(gmk_ctx_t *ctx, void *arg), void *arg);
void chan_join(struct chan_thread *thread);
