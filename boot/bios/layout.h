/* Layout: where things are, on the disk image and in low memory while the loader runs.
 *
 * For C and assembler. scripts/mkdisk writes the disk's side of it.
 *
 *   disk, in sectors of 512 bytes       memory
 *     0        stage 1 (boot record)      0x01000 - 0x07c00  stack, grows down
 *     1 .. 31  stage 2                    0x07c00            stage 1
 *     32 .. 39 header                     0x07e00 - 0x0bc00  stage 2, then its zeroed data
 *     40 ..    kernel, initrd             0x10000 - 0x18000  what the BIOS reads from the disk
 *                                         0x20000 - 0x27000  page tables for the kernel
 *                                         0x28000 - 0x2a000  struct bios_boot */
#pragma once

#define SECTOR_SIZE    512
#define STAGE2_LBA     1
#define STAGE2_SECTORS 31
#define HEADER_LBA     32
#define HEADER_SECTORS 8
#define HEADER_VERSION 1
#define HEADER_CMDLINE 512 /* offset of the command line; the rest of the header is its room */

#define STACK_TOP      0x7c00
#define STAGE2_AT      0x7e00
#define BOUNCE_AT      0x10000
#define BOUNCE_SECTORS 64
#define TABLES_AT      0x20000 /* PML4, two PDPTs, four PDs */
#define BIOS_BOOT_AT   0x28000
#define KEPT_END       0x2a000

#define COM1           0x3f8
#define UART_POLLS_MAX 100000 /* a line that never gets ready must not hold us */
#define DISK_TRIES     4      /* of each read; between them the drive is reset */
