/* Histogram: how long things took, to within 3.2 %, in 8 KiB and three stores.
 *
 * Problem: percentiles of a duration whose range spans nanoseconds to minutes, recorded by
 * a worker for every task, read while it goes on.
 *
 * Idea (log-linear, as in HdrHistogram): each power of two is cut into 16 equal buckets,
 * and values below 32 have a bucket each. A bucket is at most 1/16 of its lower bound
 * wide; the value read back is its middle, so it is wrong by at most 1/32 = 3.125 %.
 * Counts are 64 bits wide and never overflow; the number of values is their sum, so it
 * always agrees with them.
 *
 * Who may call: hist_record() one thread per histogram, with plain relaxed stores;
 * hist_add() any thread at any time, into a view of its own; the rest works on views.
 *
 * A view taken while the owner records may miss its last values, and its `sum` may be
 * ahead of or behind its counts by these. It does not forget: rates come from the
 * difference of two views. */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "ggmk/base.h"

#define HIST_SUB_BITS      4u
#define HIST_SUB           (1u << HIST_SUB_BITS) /* buckets per power of two */
#define HIST_BUCKETS       (HIST_SUB + (64u - HIST_SUB_BITS) * HIST_SUB) /* 976 */
#define HIST_ERROR_INVERSE 32u /* a value read back is off by at most 1/32 of itself */

/* Written by one thread. Zeroed it is empty. */
struct hist {
    alignas(GMK_FALSE_SHARING) _Atomic uint64_t sum; /* modulo 2^64 */
    _Atomic uint64_t max;
    _Atomic uint64_t counts[HIST_BUCKETS];
};
GMK_STATIC_ASSERT(sizeof(struct hist) <= 8192, "a histogram fits into two pages");

/* What readers work on: the sum of any number of histograms. Zeroed it is empty. */
struct hist_view {
    uint64_t count; /* values recorded */
    uint64_t sum;   /* of them all, modulo 2^64 */
    uint64_t max;   /* exactly the largest one; 0 when empty */
    uint64_t counts[HIST_BUCKETS];
};

/* Bucket of a value. */
static inline unsigned hist_bucket(uint64_t value) {
    if (value < HIST_SUB) {
        return (unsigned)value;
    }
    unsigned power = 63u - (unsigned)__builtin_clzll(value); /* GNU: index of the top bit */
    unsigned sub = (unsigned)(value >> (power - HIST_SUB_BITS)) & (HIST_SUB - 1u);
    return ((power - HIST_SUB_BITS + 1u) << HIST_SUB_BITS) + sub;
}

/* Smallest value of a bucket, and the largest. */
uint64_t hist_bucket_first(unsigned bucket);
uint64_t hist_bucket_last(unsigned bucket);

/* A relaxed load and store instead of an atomic add: there is one writer. */
static inline void hist_bump(_Atomic uint64_t *word, uint64_t by) {
    uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
    atomic_store_explicit(word, old + by, memory_order_relaxed);
}

/* Records one value. The histogram's only writer. */
static inline void hist_record(struct hist *hist, uint64_t value) {
    hist_bump(&hist->counts[hist_bucket(value)], 1);
    hist_bump(&hist->sum, value);
    if (GMK_UNLIKELY(value > atomic_load_explicit(&hist->max, memory_order_relaxed))) {
        atomic_store_explicit(&hist->max, value, memory_order_relaxed);
    }
}

/* Adds what `hist` holds now to `view`. HIST_BUCKETS steps. */
void hist_add(struct hist_view *view, const struct hist *hist);

/* The value below or at which `per_million` of a million recorded values lie: 500000 is
 * the median, 999000 is p99.9, 1000000 the maximum. 0 when empty. More than a million
 * counts as a million. HIST_BUCKETS steps. */
uint64_t hist_quantile(const struct hist_view *view, uint32_t per_million);

/* Average, rounded down; 0 when empty. Exact while the sum stays below 2^64. */
uint64_t hist_mean(const struct hist_view *view);

/* Recorded values that are certainly at most `bound`: exact when `bound` is the last
 * value of its bucket, else values in bound's own bucket are left out. */
uint64_t hist_count_below(const struct hist_view *view, uint64_t bound);
