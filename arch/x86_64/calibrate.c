/* Calibrate: the rate of a cycle counter, measured against a clock of known rate.
 *
 * Problem: the reference ticks slowly, its reads are slow, and a hypervisor (or an SMI) may stop us
 * for milliseconds between any two instructions. Idea: look at both counters at the moment the
 * reference steps, and keep with each moment the width of the interval in which it lies; of several
 * looks the narrowest counts. Two moments then give a rate and an honest bound of its error. Where
 * the gap between two reads was so long that the reference may have lost ticks (a PIT wraps after
 * 55 ms), the window is thrown away.
 *
 * Pure but for the two functions that read the counters, so the host's tests drive it with clocks
 * of their own. */
#include "arch/x86_64/calibrate.h"

#define LOOKS     4u       /* steps looked at for one moment */
#define READS_MAX 1000000u /* of a reference that never gets where it should */

struct watch {
    const struct reference *ref;
    uint64_t (*cycles)(void);
    uint64_t last,
        longest; /* when the last read began; the longest way from there to the next end */
};

/* A read of the reference, and when it began and ended. */
static uint32_t watch_read(struct watch *w, uint64_t *start, uint64_t *end) {
    *start = w->cycles();
    uint32_t count = w->ref->read() & w->ref->mask;
    *end = w->cycles();
    if (w->longest < *end - w->last)
        w->longest = *end - w->last;
    w->last = *start;
    return count;
}

static struct watch watch_begin(const struct reference *ref, uint64_t (*cycles)(void)) {
    return (struct watch){.ref = ref, .cycles = cycles, .last = cycles()};
}

/* Waits for one step. A step by one happened between the starts of two reads; one by more only
 * says that `count` was right during the last read, give or take a tick. */
static bool look(struct watch *w, struct moment *out) {
    uint64_t before, start, end;
    uint32_t last = watch_read(w, &before, &end);
    for (uint32_t i = 0; i < READS_MAX; i++) {
        uint32_t count = watch_read(w, &start, &end);
        uint32_t step = (count - last) & w->ref->mask;
        if (step != 0) {
            uint64_t from = step == 1 ? before : start - (end - before) / step;
            *out = (struct moment){from + (end - from) / 2, end - from, count};
            return true;
        }
        before = start;
    }
    return false;
}

static bool find_moment(struct watch *w, struct moment *out) {
    if (!look(w, out))
        return false;
    for (unsigned i = 1; i < LOOKS; i++) {
        struct moment next;
        if (look(w, &next) && next.unsure < out->unsure)
            *out = next;
    }
    return true;
}

bool calibrate_moment(const struct reference *ref, uint64_t (*cycles)(void), struct moment *out) {
    struct watch w = watch_begin(ref, cycles);
    return find_moment(&w, out);
}

bool calibrate_between(const struct reference *ref, const struct moment *from,
                       const struct moment *to, struct calibration *out) {
    uint64_t cycles = to->cycles - from->cycles;
    uint32_t ticks = (to->count - from->count) & ref->mask;
    if (ticks == 0 || cycles == 0 || cycles > UINT64_MAX / ref->hz)
        return false;
    uint64_t unsure = (from->unsure + to->unsure) / 2;
    out->hz = cycles * ref->hz / ticks;
    out->error_ppm = unsure < cycles ? (uint32_t)(unsure * 1000000u / cycles) : 1000000u;
    return out->hz != 0;
}

/* May the reference have wrapped in the longest gap? `ticks` were seen while `cycles` passed, so had
 * a whole turn been lost, ticks + span would have passed. */
static bool may_have_wrapped(const struct watch *w, uint32_t ticks, uint64_t cycles) {
    uint64_t span = w->ref->mask + 1ull, seen = ticks < span / 2 ? ticks : span / 2;
    return cycles == 0 || w->longest * (ticks + span) / cycles >= span - seen;
}

/* One window; *lost: it does not count. False when the reference does not move. */
static bool window(const struct reference *ref, uint64_t (*cycles)(void), bool *lost,
                   struct calibration *out) {
    struct watch w = watch_begin(ref, cycles);
    struct moment from, to;
    if (!find_moment(&w, &from))
        return false;
    uint32_t wanted = ref->hz / CALIBRATE_WINDOW_HZ, passed = 0;
    uint64_t start, end;
    for (uint32_t i = 0; passed < wanted && i < READS_MAX; i++)
        passed = (watch_read(&w, &start, &end) - from.count) & ref->mask;
    if (passed < wanted || !find_moment(&w, &to))
        return false;
    *lost = may_have_wrapped(&w, (to.count - from.count) & ref->mask, to.cycles - from.cycles) ||
            !calibrate_between(ref, &from, &to, out);
    return true;
}

bool calibrate(const struct reference *ref, uint64_t (*cycles)(void), struct calibration *out) {
    bool found = false, lost;
    struct calibration one;
    for (unsigned i = 0; i < CALIBRATE_TRIES && window(ref, cycles, &lost, &one); i++) {
        if (lost || (found && one.error_ppm >= out->error_ppm))
            continue;
        *out = one;
        found = true;
        if (one.error_ppm <= CALIBRATE_GOOD_PPM)
            break;
    }
    return found;
}
