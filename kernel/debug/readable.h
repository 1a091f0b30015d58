/* Readable: may these bytes be read without a fault? */
#pragma once

#include "arch/arch.h"

/* True when every byte of [at, at + size) is mapped RAM of the kernel's half, so that reading it
 * neither faults nor acts on a device; else *why (may be NULL) is the reason, static text. Asks
 * the page tables; any context, any address, size not 0. */
bool debug_readable(vaddr_t at, size_t size, const char **why);
