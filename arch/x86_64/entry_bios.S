/* Bios entry: where our own loader (boot/bios) jumps, and the note by which it finds the place.
 *
 * Machine state: 64-bit mode, interrupts off, the loader's page tables map the first 4 GiB at their
 * own addresses and the first 1 GiB again at 0xffffffff80000000; rdi = the physical address of
 * a struct bios_boot (boot/bios/bios_boot.h). */

        .section .note.ggmk, "a", @note
        .balign 4
        .long   5, 8, 1                 /* lengths of name and value; type 1: the entry */
        .asciz  "GGMK"
        .balign 4
        .quad   start_bios

        .section .text.entry, "ax", @progbits
        .code64
        .globl  start_bios
start_bios:
        mov     %rdi, %rsi
        mov     $road_bios, %rdi
        jmp     start64

        .section .note.GNU-stack, "", @progbits
