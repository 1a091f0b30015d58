/* Multiboot2 entry: the header by which GRUB knows the kernel, and where it jumps.
 *
 * Multiboot2 Specification 2.0, 3.1: the header lies in the first 32 KiB of the file, aligned to
 * 8 bytes. Its tags ask for what boot/multiboot2.c reads; all but the entry are optional. GRUB
 * also wants the ELF file's own entry (Limine's) inside a segment, which it is. */

#define BASE      0xffffffff80000000
#define PHYS(sym) ((sym) - BASE)

#define HEADER_MAGIC 0xe85250d6
#define I386         0          /* entered in 32-bit protected mode, also under 64-bit UEFI */
#define OPTIONAL     1

        .section .multiboot2, "a", @progbits
        .balign 8
header:
        .long   HEADER_MAGIC
        .long   I386
        .long   header_end - header
        .long   0x100000000 - (HEADER_MAGIC + I386 + (header_end - header))

        .balign 8                       /* information request, 3.1.4: tags that we read */
        .word   1, OPTIONAL
        .long   1f - . + 4
        .long   1, 2, 3, 6, 8, 14, 15
1:
        .balign 8                       /* entry address, 3.1.6 */
        .word   3, 0
        .long   12
        .long   PHYS(start_multiboot2)

        .balign 8                       /* framebuffer, 3.1.10: preferred width, height, bits */
        .word   5, OPTIONAL
        .long   20
        .long   1024, 768, 32

        .balign 8                       /* modules on page boundaries, 3.1.11 */
        .word   6, OPTIONAL
        .long   8

        .balign 8                       /* end */
        .word   0, 0
        .long   8
header_end:

/* Machine state, 3.3: eax = magic, ebx = information block, flat segments, paging off. */
        .section .text.entry, "ax", @progbits
        .code32
        .globl  start_multiboot2
start_multiboot2:
        mov     $PHYS(road_multiboot2), %edi
        mov     %eax, %esi
        mov     %ebx, %edx
        jmp     enter_long_mode_from_32

        .section .note.GNU-stack, "", @progbits
