/* Message: what the peers send in the channel jobs.
 *
 * 48 bytes by value, the size of the ring jobs' messages: as much as the sender of one of our
 * tasks fills in (type, two words, payload pointer and length, group, time). */
#pragma once

#include "bench/lib/bench.h"

struct message {
    uint64_t seq;      /* 1, 2, 3 ... in the stream jobs */
    uint64_t stamp_ns; /* submit time in the cold job, else 0 */
    uint64_t body[4];  /* carried, not looked at */
};

#define MESSAGE_HELLO 0u         /* tells a subscriber that it is connected */
#define MESSAGE_STOP  UINT64_MAX /* asks the receiving thread to end */

/* The receiver's handler, the same for every contestant. Returns false for the last message. */
static inline bool message_take(const struct message *m, unsigned stream) {
    if (m->stamp_ns != 0) {
        bench_wake_landed(m->stamp_ns);
    } else if (m->seq == MESSAGE_STOP) {
        return false;
    } else {
        bench_stream_take(&bench_streams[stream], m->seq);
    }
    return true;
}
