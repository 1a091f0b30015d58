/* TSC math: ticks to nanoseconds and back without drift. Pure; tested on the host.
 *
 * ns = ticks * mul / 2^32 with a product of 128 bits, always from the number of ticks since boot:
 * an error of the rate grows with time, rounding does not. mul is exact to 2^-29 at 4 GHz, which is
 * 2 ppb and far below what a calibration can tell. */
#pragma once

#include <stdint.h>

__extension__ typedef unsigned __int128 tsc_wide_t;

#define TSC_NS_SHIFT    32u
#define TSC_TICKS_SHIFT 30u
#define TSC_HZ_MIN      1000000ull     /* beyond these something was measured wrongly; */
#define TSC_HZ_MAX      10000000000ull /* in between all products fit */
#define NS_PER_SECOND   1000000000ull

/* mul of tsc_scale() for ticks of `hz` to ns. */
static inline uint64_t tsc_mul_ns(uint64_t hz) {
    return (NS_PER_SECOND << TSC_NS_SHIFT) / hz;
}

/* mul of tsc_scale() for ns to ticks of `hz`, rounded up. */
static inline uint64_t tsc_mul_ticks(uint64_t hz) {
    return ((hz << TSC_TICKS_SHIFT) + NS_PER_SECOND - 1) / NS_PER_SECOND;
}

/* value * mul / 2^shift; all ones where that does not fit. */
static inline uint64_t tsc_scale(uint64_t value, uint64_t mul, unsigned shift) {
    tsc_wide_t product = ((tsc_wide_t)value * mul) >> shift;
    return product > UINT64_MAX ? UINT64_MAX : (uint64_t)product;
}

/* How far `measured` is from `expected`, in parts per million. Both below 2^43. */
static inline int64_t tsc_ppm(uint64_t measured, uint64_t expected) {
    return ((int64_t)measured - (int64_t)expected) * 1000000 / (int64_t)expected;
}
