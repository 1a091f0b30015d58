/* Rand: seeded pseudo-random numbers, the same sequence on every machine.
 *
 * xoshiro256** (Blackman and Vigna, 2018), its state filled by splitmix64 as its authors
 * advise. Fast, 2^256-1 long, fit for victims of stealing, samples and tests; not for secrets.
 * One state per owner: nothing here is shared or locked. */
#pragma once

#include <stdint.h>

struct rand_state {
    uint64_t s[4]; /* never all zero */
};

/* splitmix64: turns any counter, also 0, into well mixed bits. */
static inline uint64_t rand_splitmix(uint64_t *counter) {
    uint64_t z = (*counter += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline struct rand_state rand_seed(uint64_t seed) {
    struct rand_state state;
    for (int i = 0; i < 4; i++) {
        state.s[i] = rand_splitmix(&seed); /* four in a row are never all zero */
    }
    return state;
}

static inline uint64_t rand_next(struct rand_state *state) {
    uint64_t *s = state->s;
    uint64_t five = s[1] * 5;
    uint64_t result = ((five << 7) | (five >> 57)) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return result;
}

/* A number below `bound`, each as likely as the others; 0 for a bound of 0.
 * Lemire, "Fast Random Integer Generation in an Interval": multiply instead of divide, and
 * draw again (less than one time in two, for most bounds almost never) where it would be biased. */
static inline uint32_t rand_below(struct rand_state *state, uint32_t bound) {
    uint64_t wide = (rand_next(state) >> 32) * bound;
    if ((uint32_t)wide < bound) {
        uint32_t biased = (0u - bound) % bound;
        while ((uint32_t)wide < biased) {
            wide = (rand_next(state) >> 32) * bound;
        }
    }
    return (uint32_t)(wide >> 32);
}
