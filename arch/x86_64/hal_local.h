/* The engine's thread-local pointer in the kernel: a word of the CPU's block, at gs:8.
 *
 * The compilers' own thread-local model reads through fs, also with -mcmodel=kernel, and fs belongs
 * to user programs. A named address space (GNU extension; gcc wants -fasm for it) gives the same
 * single instruction through gs. One instruction matters: between reading a CPU's address and
 * reading through it, a thread could have moved to another CPU.
 *
 * The word is struct cpu.local (kernel/core/cpu.h); the scheduler switches it. */
#pragma once

#include <stdint.h>

#define hal_local (*(void *__seg_gs *)(uintptr_t)8)
