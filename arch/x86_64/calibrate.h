/* Calibrate: the rate of a cycle counter, measured against a clock of known rate. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A counter that goes up at a known rate. Reading may be slow (an I/O port: about 1 us). */
struct reference {
    const char *name;
    uint32_t hz;
    uint32_t mask; /* it counts modulo mask + 1 */
    uint32_t (*read)(void);
};

/* A moment, in both counters. */
struct moment {
    uint64_t cycles;
    uint64_t unsure; /* cycles: how wide the interval is in which the moment lies */
    uint32_t count;
};

struct calibration {
    uint64_t hz;
    uint32_t error_ppm; /* hz is off by at most this */
};

#define CALIBRATE_WINDOW_HZ 250u  /* a window is 1/250 s = 4 ms */
#define CALIBRATE_GOOD_PPM  1000u /* good enough to stop; what comes out is mostly far better */
#define CALIBRATE_TRIES     20u   /* windows at most; the best one counts */

/* The last moment at which the reference was seen to step. False when it does not move. */
bool calibrate_moment(const struct reference *ref, uint64_t (*cycles)(void), struct moment *out);

/* Rate of `cycles` between two moments. False when none can be told. */
bool calibrate_between(const struct reference *ref, const struct moment *from,
                       const struct moment *to, struct calibration *out);

/* Measures: between one and CALIBRATE_TRIES windows. False when the reference does not move. */
bool calibrate(const struct reference *ref, uint64_t (*cycles)(void), struct calibration *out);
