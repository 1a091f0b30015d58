/* System-call fuzzer: what its two programs agree about. */
#pragma once

#include <stdint.h>

#define FUZZ_THREADS     4u
#define FUZZ_ROUND_CALLS 20000u /* calls of a fuzzed unit's life, if it lives so long */

/* Shared by both: a page of its own memory object. */
struct fuzz_page {
    _Atomic uint64_t calls;  /* made so far, by all lives */
    _Atomic uint64_t passed; /* that did not return an error */
};
