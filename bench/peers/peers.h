/* Peers: the contestants of bench/jobs.c, ours and other people's.
 *
 * Each is defined in a file of its library's name. The symbols are weak: a file whose package
 * is missing is not built, its symbols are NULL, and the job says "skipped: PACKAGE". */
#pragma once

#include "bench/lib/bench.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_CONTESTANT(symbol) extern const struct bench_contestant symbol __attribute__((weak))

/* bench/peers/tbb.cc */
BENCH_CONTESTANT(peer_tbb_submit); /* task_arena::enqueue from a thread outside the arena */
BENCH_CONTESTANT(peer_tbb_helped); /* task_group::run, the caller runs tasks too while it waits */
BENCH_CONTESTANT(peer_tbb_tree);   /* one task_group for the whole tree */
BENCH_CONTESTANT(peer_tbb_wake);

/* bench/peers/tbb_channel.cc */
BENCH_CONTESTANT(peer_tbb_queue); /* concurrent_bounded_queue and a thread that pops */
BENCH_CONTESTANT(peer_tbb_queue_cold);
BENCH_CONTESTANT(peer_tbb_flow); /* flow graph: function_node, serial */
BENCH_CONTESTANT(peer_tbb_flow_cold);
BENCH_CONTESTANT(peer_tbb_flow_fan);

/* bench/peers/gomp.c */
BENCH_CONTESTANT(peer_gomp_submit);
BENCH_CONTESTANT(peer_gomp_tree);

/* bench/peers/raw_pool.c */
BENCH_CONTESTANT(peer_raw_submit);
BENCH_CONTESTANT(peer_raw_bulk);

/* bench/peers/futex.c */
BENCH_CONTESTANT(peer_futex_wake);

/* bench/peers/uv.c */
BENCH_CONTESTANT(peer_uv_wake); /* also the cold channel: the same path */
BENCH_CONTESTANT(peer_uv_stream);

/* bench/peers/moodycamel.cc */
BENCH_CONTESTANT(peer_moodycamel_stream);
BENCH_CONTESTANT(peer_moodycamel_cold);

/* bench/peers/zmq.c */
BENCH_CONTESTANT(peer_zmq_stream);
BENCH_CONTESTANT(peer_zmq_cold);
BENCH_CONTESTANT(peer_zmq_fan);

/* bench/peers/nng.c */
BENCH_CONTESTANT(peer_nng_stream);
BENCH_CONTESTANT(peer_nng_cold);
BENCH_CONTESTANT(peer_nng_fan);

#ifdef __cplusplus
}
#endif
