/* Fake layout: the kernel's ranges where a test process can have them.
 *
 * Physical addresses are the process's own (tests/fake_arch/arch_inline.h), below 512 MiB; the
 * mapped ranges follow, all below 2 GiB, which no sanitizer claims. */
#pragma once

#include "arch/arch.h"

#define LAYOUT_DIRECT    0ull
#define LAYOUT_FRAMES    0x20000000ull
#define LAYOUT_HEAP      0x40000000ull
#define LAYOUT_HEAP_SIZE (1ull << 28)
#define LAYOUT_MAP       0x50000000ull
#define LAYOUT_MAP_SIZE  (1ull << 28)
#define LAYOUT_RECURSIVE 0xffffff0000000000ull
#define LAYOUT_IMAGE     0xffffffff80000000ull
#define LAYOUT_PHYS_MAX  (1ull << 46)

static inline paddr_t layout_direct_to_phys(const void *p) {
    return (paddr_t)(uintptr_t)p;
}
