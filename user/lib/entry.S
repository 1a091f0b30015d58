/* Start: the first instructions of a program and of its further threads.
 *
 * A program begins with rsp at argc (System V ABI x86-64, 3.4.1), a thread that thread_start() made
 * with its struct thread in rdi; both with the address of their message buffer in rsi and their
 * id in rdx (ggmk/abi.h). Both mark the end of the chain of frames with rbp 0.
 * Stacks begin at a multiple of 16, as the call needs it. */

    .text
    .globl _start
    .hidden _start
    .type _start, @function
_start:
    xorl %ebp, %ebp
    mov %rsp, %rdi
    call start_program
    ud2
    .size _start, . - _start

    .globl thread_begin
    .hidden thread_begin
    .type thread_begin, @function
thread_begin:
    xorl %ebp, %ebp
    call thread_main
    ud2
    .size thread_begin, . - thread_begin

    .section .note.GNU-stack, "", @progbits
