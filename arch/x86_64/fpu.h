/* FPU: the vector registers of a thread, saved and loaded as a block of memory.
 *
 * The kernel itself never touches them, so they are moved only between user threads that use them.
 * IF off, or pinned. */
#pragma once

#include <stddef.h>

#define FPU_ALIGN 64u /* XSAVE wants it; Intel SDM 1 13.4 */

/* Finds out how large a block is. Every CPU, by arch_features_init(). */
void fpu_init(void);
/* Bytes that a block takes on this machine. */
size_t fpu_size(void);
/* Makes `block` the state of a thread that has not computed yet. */
void fpu_reset(void *block);
void fpu_save(void *block);
void fpu_load(const void *block);
