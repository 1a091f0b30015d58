/* Multiboot2: translates what GRUB (or another Multiboot2 loader) tells into boot_info.
 *
 * Multiboot2 Specification 2.0, chapter 3.4 "Boot information": a block of tags, each with a
 * type and a size, aligned to 8 bytes. */
#pragma once

#include "boot/boot_info.h"

#define MULTIBOOT2_MAGIC     0x36d76289u /* what the loader leaves in eax, 3.3 */
#define MULTIBOOT2_BLOCK_MAX (1u << 20)  /* bytes; GRUB's blocks are a few KiB */

/* Reads the block at `block`, which lies at physical address `block_pa`; at most `limit` bytes
 * of it can be read. Pure but for *info: also what the fuzzer calls. */
void multiboot2_read(struct boot_info *info, const void *block, uint64_t block_pa, uint64_t limit);

/* From entry_multiboot2.S: eax and ebx as the loader left them. */
void road_multiboot2(uint64_t magic, uint64_t block);
