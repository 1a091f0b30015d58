/* User, the pure half: what may be user code's, as functions of numbers alone. Tested on the host. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86_64/features.h"
#include "ggmk/abi.h"

#define FLAGS_FIXED 0x202u /* bit 1 always is; IF: user code cannot turn it off */
/* CF PF AF ZF SF TF DF OF AC ID: Intel SDM 1 3.4.3 */
#define FLAGS_USER (0x8d5u | 1u << 8 | 1u << 10 | 1u << 18 | 1u << 21)

static inline uint64_t user_flags(uint64_t flags) {
    return (flags & FLAGS_USER) | FLAGS_FIXED;
}

/* Does the range lie wholly where programs may be? An empty one does anywhere. */
static inline bool user_range(uint64_t at, uint64_t size) {
    return size == 0 || (at >= GMK_USER_MIN && size <= GMK_USER_MAX && at <= GMK_USER_MAX - size);
}

/* Can user code read the kernel's memory through what the CPU does in advance (Meltdown, CVE-2017-5754)?
 * Only Intel's CPUs, unless they say that they do not (RDCL_NO, bit 0 of IA32_ARCH_CAPABILITIES). */
static inline bool user_sees_kernel(const struct cpu_features *f, uint64_t capabilities) {
    static const char intel[13] = "GenuineIntel";
    for (unsigned i = 0; i < sizeof intel; i++)
        if (f->vendor[i] != intel[i])
            return false;
    return (capabilities & 1u) == 0;
}
