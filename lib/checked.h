/* Checked arithmetic: size sums and products that say when they do not fit.
 *
 * Every size that comes from outside goes through here before it becomes an address. Each
 * function returns false and leaves *out alone when the exact result does not fit; it
 * never wraps. Plain C: the compilers of the kernel and of the GPU take it as well. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool checked_add(size_t a, size_t b, size_t *out) {
    if (b > SIZE_MAX - a)
        return false;
    *out = a + b;
    return true;
}

static inline bool checked_sub(size_t a, size_t b, size_t *out) {
    if (b > a)
        return false;
    *out = a - b;
    return true;
}

static inline bool checked_mul(size_t a, size_t b, size_t *out) {
    if (b != 0 && a > SIZE_MAX / b)
        return false;
    *out = a * b;
    return true;
}

/* Is `value` 1, 2, 4, 8, ...? Zero is not. */
static inline bool checked_is_power_of_two(size_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

/* Rounds up to a multiple of `align`, which must be a power of two. */
static inline bool checked_align_up(size_t value, size_t align, size_t *out) {
    size_t sum;
    if (!checked_is_power_of_two(align))
        return false;
    if (!checked_add(value, align - 1, &sum))
        return false;
    *out = sum & ~(align - 1);
    return true;
}

/* `percent` of `value`, rounded down. Exact also where value * percent would not fit:
 * hundreds and the rest are taken apart. percent <= 100, so it always fits. */
static inline size_t checked_percent(size_t value, unsigned percent) {
    return value / 100 * percent + value % 100 * percent / 100;
}
