/* Recursive view: the page tables as an array in the address space itself.
 *
 * One entry of the root, RECURSIVE_SLOT, names the root. The walk for an address in that slot
 * therefore goes through the root twice and ends one level early: on a table. So the entry that
 * maps `va` lies at a computable address, and applying the same computation to that address gives
 * the entry one level up. Only entries whose upper levels are present may be read. */
#pragma once

#include "kernel/mem/layout.h"

#define RECURSIVE_SLOT (LAYOUT_RECURSIVE >> 39 & 511u)

/* The address of the entry of `va` at `level`, 0 .. 3. */
static inline vaddr_t recursive_entry(vaddr_t va, unsigned level) {
    for (unsigned n = 0; n <= level; n++)
        va = LAYOUT_RECURSIVE | (va >> 9 & UINT64_C(0x7ffffffff8));
    return va;
}
