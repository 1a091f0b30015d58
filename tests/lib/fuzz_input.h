/* Fuzz input: takes numbers out of a fuzzer's bytes; past their end there are only zeroes. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

static inline uint64_t fuzz_take(struct fuzz_input *in, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes && in->left > 0; i++, in->at++, in->left--) {
        value |= (uint64_t)*in->at << 8 * i;
    }
    return value;
}

/* A copy on the heap of exactly that size, so that the sanitizer sees a byte too many. */
static inline void *fuzz_copy(const void *bytes, size_t size) {
    void *copy = malloc(size == 0 ? 1 : size);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, bytes, size);
    return copy;
}

/* Ends the program when `wrong` names something. */
static inline void fuzz_must_not(const char *wrong) {
    if (wrong != NULL) {
        fprintf(stderr, "fuzz: %s\n", wrong);
        abort();
    }
}
static inline void fuzz_must(int holds, const char *otherwise) {
    fuzz_must_not(holds ? NULL : otherwise);
}
