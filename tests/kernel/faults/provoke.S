/* Provoke: faults that no C code can make. */

/* Points the stack at an address that is not mapped, then uses it: the page fault cannot push its
 * frame, which is a double fault (Intel SDM 3A 6.15, interrupt 8). */
    .globl fault_smash_stack
    .type fault_smash_stack, @function
fault_smash_stack:
    movq $0x7ffffffff000, %rsp
    pushq $0
    ud2
    .size fault_smash_stack, . - fault_smash_stack

    .section .note.GNU-stack, "", @progbits
