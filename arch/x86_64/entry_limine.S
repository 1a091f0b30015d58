/* Limine entry: the ELF file's entry point, in 64-bit mode, on the loader's page tables.
 *
 * "Machine State at Entry" of the Limine protocol: the image is mapped where it was linked, but
 * lies anywhere in physical memory; the direct map is wherever the loader chose. So nothing
 * before mem_init() may count on a physical address of the image. */

        .section .text.entry, "ax", @progbits
        .code64
        .globl  start_limine
start_limine:
        mov     $road_limine, %rdi
        mov     $image_start, %rsi
        mov     $image_end, %rdx
        jmp     start64

        .section .note.GNU-stack, "", @progbits
