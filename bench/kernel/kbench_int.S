/* Kernel bench: `int n; ret` for every vector, 4 bytes each: the operand of INT is a constant. */
        .text
        .globl  kbench_int_table
        .balign 16
kbench_int_table:
        .set    vector, 0
        .rept   256
        .byte   0xcd, vector, 0xc3, 0x90
        .set    vector, vector + 1
        .endr
        .section .note.GNU-stack, "", @progbits
