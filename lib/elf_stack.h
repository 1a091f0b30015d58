/* ELF stack: what a new program finds on its stack (System V ABI x86-64, 3.4.1).
 *
 *     sp ->  argc, argv[0] .. argv[argc-1], NULL, environment .., NULL,
 *            auxiliary vector .., AT_NULL, named handles, 16 random bytes, the strings
 *
 * Pure: builds the bytes; the caller puts them where the stack's end will be. */
#pragma once

#include "ggmk/abi.h"

/* The usual entries of the auxiliary vector; GGMK's own are in ggmk/abi.h. */
enum {
    ELF_AUX_NULL = 0,
    ELF_AUX_PHDR = 3, /* table of segments in memory, size of an entry, number */
    ELF_AUX_PHENT = 4,
    ELF_AUX_PHNUM = 5,
    ELF_AUX_PAGESZ = 6,
    ELF_AUX_ENTRY = 9,
    ELF_AUX_RANDOM = 25, /* address of 16 random bytes */
};
struct elf_aux {
    uint64_t type, value;
};

struct elf_stack {
    const char *const *argv, *const *env; /* ended by NULL */
    const struct elf_aux *aux;            /* ended by ELF_AUX_NULL; RANDOM and HANDLES are added */
    const gmk_named_handle_t *handles;    /* ended by handle 0; NULL: none */
    uint64_t random[2];
};

/* Writes the stack that ends at address `top` (a multiple of 16) into the last bytes of buffer[size].
 * Returns the stack pointer; 0: too little room. */
uint64_t elf_stack_build(const struct elf_stack *stack, uint64_t top, void *buffer, size_t size);
