/* Layout: where things are in the kernel's half of the address space.
 *
 * 4-level paging, 48 bits. Each range owns whole top-level slots of 512 GiB.
 *
 *   0xffff8000_00000000  direct map: all RAM, writable, never executable; read-only frames of the
 *                        kernel's image have no writable alias here
 *   0xffffc000_00000000  kernel heap, paged in on demand (kernel/mem/heap.c)
 *   0xffffd000_00000000  mappings made one by one: stacks between guard pages, devices
 *   0xffffe000_00000000  frame descriptors, by frame number; only where there is RAM
 *   0xffffff00_00000000  slot 510: the page tables seen through themselves (recursive view)
 *   0xffffffff_80000000  the kernel's image, linked 2 MiB above this */
#pragma once

#include "arch/arch.h"

#define LAYOUT_DIRECT    0xffff800000000000ull
#define LAYOUT_HEAP      0xffffc00000000000ull
#define LAYOUT_HEAP_SIZE (1ull << 36) /* 64 GiB of addresses */
#define LAYOUT_MAP       0xffffd00000000000ull
#define LAYOUT_MAP_SIZE  (1ull << 36)
#define LAYOUT_FRAMES    0xffffe00000000000ull
#define LAYOUT_RECURSIVE 0xffffff0000000000ull
#define LAYOUT_IMAGE     0xffffffff80000000ull
#define LAYOUT_PHYS_MAX  (1ull << 46) /* RAM above is reported and left alone */

static inline paddr_t layout_direct_to_phys(const void *p) {
    return (paddr_t)((uintptr_t)p - LAYOUT_DIRECT);
}
