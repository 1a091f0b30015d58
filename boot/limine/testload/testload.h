/* Testload: a loader that speaks the Limine protocol, for testing the kernel's Limine road only.
 *
 * QEMU starts it by Multiboot 1 with the kernel and the initrd as modules:
 *     qemu-system-x86_64 -kernel testload.elf -initrd "gmk_kernel.elf,initrd.cpio" -append "..."
 * It does on purpose what a kernel must not count on: the kernel's image lies at an odd physical
 * address, the direct map is elsewhere than the kernel's own and holds only what base revision
 * 3 promises, nothing is mapped at its physical address, and the PAT is Limine's.
 *
 * 64-bit C, linked at 1 MiB and run at its physical address until the last jump. What is wrong
 * ends in die(), with the reason on COM1. */
#pragma once

#define HHDM_SLOT   288 /* of the PML4 */
#define HHDM        0xffff900000000000
#define KERNEL_PHYS 0x2003000 /* 32 MiB and three pages: not where it was linked, not aligned */
#define TRAMPOLINE  0x8000
#define STACK_SIZE  65536 /* "at least 64 KiB", Machine State at Entry */
#define CODE64      0x28
#define DATA64      0x30

#ifndef __ASSEMBLER__

#include "boot/limine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- start.S ------------------------------------------------------------------------- */

extern char image_begin[], image_end[]; /* of this loader */
extern char trampoline[], trampoline_end[];

/* What a started CPU finds; written before it is started. */
extern uint64_t ap_info, ap_stack;
extern uint64_t final_tables; /* physical address of the page tables for the kernel */

/* Leaves for the kernel, on its page tables and a stack of its own (virtual). */
_Noreturn void enter(uint64_t entry, uint64_t stack);

/* ---- main.c: console, memory, kernel ---------------------------------------------------- */

_Noreturn void die(const char *why);
void say(const char *text);
/* Zeroed memory of this loader that outlives it: virtual = this + HHDM. Dies when it is used up. */
void *keep(size_t size);

/* ---- memory.c ----------------------------------------------------------------------------- */

void memory_add(uint64_t base, uint64_t length, uint64_t type);
/* Cuts [base, base + length) out of usable memory and gives it a type. */
void memory_carve(uint64_t base, uint64_t length, uint64_t type);
/* Sorted; all addresses in it virtual. */
struct limine_memmap *memory_answer(void);

enum { MAP_WRITE = 1, MAP_EXEC = 2 };
void map(uint64_t virtual, uint64_t physical, uint64_t size, unsigned rights);
void map_direct(void); /* what base revision 3 has in the direct map */

/* ---- mp.c ------------------------------------------------------------------------------------ */

/* Starts the other CPUs, which then wait for their goto_address. */
struct limine_mp *mp_answer(uint64_t rsdp);

#endif
