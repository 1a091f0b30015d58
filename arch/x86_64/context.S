/* Context: a thread's registers while it does not run, and the switch.
 *
 * A switch is a function call, so the compiler has already saved what the calling convention lets a
 * callee destroy (System V ABI, x86-64, 3.2.1). What is left goes onto the stack, and of the
 * context itself only the stack pointer remains:
 *
 *     stack -> r15 r14 r13 r12 rbx rbp, return address
 *
 * Flags are not saved: IF is off on both sides, and the direction flag is clear at every call. The
 * vector registers belong to user threads; the kernel does not touch them. */

        .text

/* void arch_context_switch(struct arch_context *from, const struct arch_context *to) */
        .globl  arch_context_switch
        .type   arch_context_switch, @function
arch_context_switch:
        push    %rbp
        push    %rbx
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rsp, (%rdi)
        mov     (%rsi), %rsp
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbx
        pop     %rbp
        ret
        .size   arch_context_switch, . - arch_context_switch

/* void arch_context_init(struct arch_context *context, void *stack_top,
 *                        void (*entry)(void *arg), void *arg)
 *
 * Writes what a switch would have left: entry in rbx, arg in r12, rbp zero (the end of every
 * backtrace), and a return into context_begin. */
        .globl  arch_context_init
        .type   arch_context_init, @function
arch_context_init:
        lea     context_begin(%rip), %rax
        mov     %rax, -16(%rsi)         /* the return address: then rsp is stack_top - 8 */
        movq    $0, -24(%rsi)           /* rbp */
        mov     %rdx, -32(%rsi)         /* rbx */
        mov     %rcx, -40(%rsi)         /* r12 */
        movq    $0, -48(%rsi)           /* r13 */
        movq    $0, -56(%rsi)           /* r14 */
        movq    $0, -64(%rsi)           /* r15 */
        lea     -64(%rsi), %rax
        mov     %rax, (%rdi)
        ret
        .size   arch_context_init, . - arch_context_init

        .type   context_begin, @function
context_begin:
        mov     %r12, %rdi
        add     $8, %rsp                /* aligned to 16 at the call */
        call    *%rbx
        ud2                             /* entry never returns */
        .size   context_begin, . - context_begin

        .section .note.GNU-stack, "", @progbits
