/* Internal: what the parts of the library tell each other, and programs need not know. */
#pragma once

#include "ggmk/abi.h"

/* tls.c */
#define TLS_ALIGN \
    ((size_t)64)       /* of blocks; more than any variable of the library or a program asks for */
void tls_find(void);   /* once, before the first block is made */
size_t tls_size(void); /* of a block */
uint64_t tls_fill(void *block); /* the initial values; returns the FS base of who is to use it */

/* print.c */
void print_start(void);

/* guard.c */
extern uintptr_t __stack_chk_guard;
