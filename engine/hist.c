/* Histogram: reading one. The idea is told in hist.h. */
#include "engine/hist.h"

uint64_t hist_bucket_first(unsigned bucket) {
    if (bucket < 2u * HIST_SUB) {
        return bucket;
    }
    unsigned shift = bucket / HIST_SUB - 1u;
    return (uint64_t)(HIST_SUB + bucket % HIST_SUB) << shift;
}

uint64_t hist_bucket_last(unsigned bucket) {
    unsigned shift = bucket < 2u * HIST_SUB ? 0 : bucket / HIST_SUB - 1u;
    return hist_bucket_first(bucket) + ((UINT64_C(1) << shift) - 1u);
}

void hist_add(struct hist_view *view, const struct hist *hist) {
    uint64_t max = atomic_load_explicit(&hist->max, memory_order_relaxed);
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        uint64_t count = atomic_load_explicit(&hist->counts[i], memory_order_relaxed);
        view->counts[i] += count;
        view->count += count;
        /* The owner may be between its count and its max: never show less than we counted. */
        if (count > 0 && hist_bucket_first(i) > max) {
            max = hist_bucket_first(i);
        }
    }
    view->sum += atomic_load_explicit(&hist->sum, memory_order_relaxed);
    view->max = max > view->max ? max : view->max;
}

/* How many of `count` values make up `per_million`: rounded up, and at least one. In two
 * parts, because the plain product overflows for counts above 2^44. */
static uint64_t rank_of(uint64_t count, uint32_t per_million) {
    const uint64_t million = 1000000u;
    uint64_t rank = count / million * per_million;
    rank += (count % million * per_million + million - 1u) / million;
    return rank == 0 ? 1u : rank;
}

uint64_t hist_quantile(const struct hist_view *view, uint32_t per_million) {
    if (view->count == 0) {
        return 0;
    }
    per_million = per_million > 1000000u ? 1000000u : per_million;
    uint64_t rank = rank_of(view->count, per_million);
    if (rank >= view->count) {
        return view->max;
    }
    uint64_t seen = 0;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += view->counts[i];
        if (seen >= rank) {
            uint64_t first = hist_bucket_first(i);
            uint64_t middle = first + (hist_bucket_last(i) - first) / 2u;
            return middle < view->max ? middle : view->max;
        }
    }
    return view->max;
}

uint64_t hist_mean(const struct hist_view *view) {
    return view->count == 0 ? 0 : view->sum / view->count;
}

uint64_t hist_count_below(const struct hist_view *view, uint64_t bound) {
    unsigned bucket = hist_bucket(bound);
    uint64_t seen = 0;
    for (unsigned i = 0; i < bucket; i++) {
        seen += view->counts[i];
    }
    return bound == hist_bucket_last(bucket) ? seen + view->counts[bucket] : seen;
}
