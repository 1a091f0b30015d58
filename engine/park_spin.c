/* Park spin: how long to spin before sleeping, learned from the idle stretches before.
 * See park.h for the rules. All times are in cycles; nothing here is shared. */
#include "engine/park.h"

#define PAUSES_PER_STEP 2 /* a pause is 10-140 cycles, by CPU: a step stays near 100 ns */

static uint64_t cycles_of(uint64_t ns) {
    return ns * hal_cycles_khz() / 1000000u;
}

void park_spin_init(struct park_spin *spin, uint64_t max_ns) {
    uint64_t bounded = max_ns < PARK_SPIN_MAX_NS ? max_ns : PARK_SPIN_MAX_NS;
    *spin = (struct park_spin){
        .max = cycles_of(bounded),
        .min = cycles_of(PARK_SPIN_MIN_NS),
        .yield = cycles_of(PARK_SPIN_YIELD_NS),
        .taken = cycles_of(PARK_SPIN_TAKEN_NS),
        .longest = cycles_of(bounded) / 2, /* begins as an optimist */
        .credit = PARK_SPIN_CREDIT_MAX,
        .debt = PARK_SPIN_CROWD_MIN,
    };
}

void park_spin_start(struct park_spin *spin) {
    uint64_t limit = 2 * spin->longest + spin->min;
    if (limit > spin->max) {
        limit = spin->max;
    }
    spin->start = hal_cycles();
    spin->stop = spin->start + (spin->credit > 0 ? limit : 0);
    spin->next_yield = spin->start + spin->yield;
    spin->crowded = false;
}

/* Offers the CPU. Returns false when somebody took it. */
static bool offer_cpu(struct park_spin *spin, uint64_t now) {
    hal_yield_cpu();
    uint64_t after = hal_cycles();
    spin->next_yield = after + spin->yield;
    spin->crowded = after - now > spin->taken;
    return !spin->crowded;
}

bool park_spin_step(struct park_spin *spin) {
    if (spin->stop == spin->start || spin->crowded) {
        return false;
    }
    for (int i = 0; i < PAUSES_PER_STEP; i++) {
        hal_relax();
    }
    uint64_t now = hal_cycles();
    if (now >= spin->stop) {
        return false;
    }
    if (now >= spin->next_yield) {
        (void)offer_cpu(spin, now); /* one more look, whatever came of it */
    }
    return true;
}

static void went_crowded(struct park_spin *spin) {
    if (spin->calm >= PARK_SPIN_CALM) {
        spin->debt = PARK_SPIN_CROWD_MIN; /* the last time was long ago */
    }
    spin->credit = -spin->debt;
    spin->debt = 2 * spin->debt < PARK_SPIN_CROWD_MAX ? 2 * spin->debt : PARK_SPIN_CROWD_MAX;
    spin->calm = 0;
}

static void went_short(struct park_spin *spin, uint64_t lasted) {
    uint64_t decayed = spin->longest - spin->longest / 8;
    spin->longest = lasted > decayed ? lasted : decayed;
    spin->calm += spin->credit > 0 && spin->calm < PARK_SPIN_CALM;
    spin->credit += spin->credit < PARK_SPIN_CREDIT_MAX;
}

static void went_long(struct park_spin *spin) {
    if (spin->credit > 0) { /* a debt is paid by short stretches only */
        spin->credit -= PARK_SPIN_MISS_COST;
        spin->credit = spin->credit > 0 ? spin->credit : 0;
    }
}

void park_spin_end(struct park_spin *spin) {
    uint64_t lasted = hal_cycles() - spin->start;
    if (spin->crowded) {
        went_crowded(spin);
    } else if (lasted <= spin->max) {
        went_short(spin, lasted);
    } else {
        went_long(spin);
    }
}
