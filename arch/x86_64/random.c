/* Random: the CPU's own generator, or what can be made of its clock. */
#include "arch/arch.h"
#include "arch/x86_64/features.h"

#include <stdatomic.h>

#define RDRAND_TRIES 10u /* Intel SDM 1 7.3.17.1 */

static bool rdrand(uint64_t *value) {
    for (unsigned i = 0; i < RDRAND_TRIES; i++) {
        bool good;
        __asm__ volatile("rdrand %0" : "=r"(*value), "=@ccc"(good));
        /* All zeros or ones: what some CPUs answer for ever after a sleep. */
        if (good && *value != 0 && *value != UINT64_MAX)
            return true;
    }
    return false;
}

/* SplitMix64's last step: each bit of the sum reaches each bit of the result. */
static uint64_t mixed(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

/* Without a generator the low bits of the cycle counter at moments that user code hardly knows. That keeps
 * addresses apart; it is no cryptography. */
uint64_t arch_random(void) {
    static _Atomic uint64_t pool;
    uint64_t value = 0;
    if (cpu_features.rdrand && rdrand(&value))
        return value;
    uint64_t sum = mixed(arch_cycles()) + 0x9e3779b97f4a7c15ull;
    /* Relaxed: a sum, read for its own sake. */
    return mixed(atomic_fetch_add_explicit(&pool, sum, memory_order_relaxed) + sum);
}
