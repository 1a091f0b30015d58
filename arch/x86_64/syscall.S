/* System calls: from `syscall` to C and back, and where switches continue in user mode.
 *
 * `syscall` changes neither the stack nor gs: it leaves rip in rcx and rflags in r11, and clears the
 * flags of MSR_FMASK (user.c): IF, TF, DF, AC, NT, IOPL and RF (Intel SDM 2B, SYSCALL). Until the
 * stack is ours only an NMI or a machine check can come, on stacks of their own (trap_entry.S).
 *
 * The frame (struct arch_user_frame, arch_user.h) is built so that its lower part is what
 * arch_context_switch() leaves: a thread that waits at the boundary is switched to by loading its stack
 * pointer, and the switch "returns" to user_resume.
 *
 * Native calls may lose the caller-saved registers, so those are not saved; those without a result go
 * back as zeros. C keeps the others, so a call that returns pops nothing: rax is its value, rdi comes
 * from the frame, where a call may have put a second result.
 *
 * sysretq with an rip that is not canonical would fault in the kernel on the user's stack (Intel SDM 2B,
 * SYSRET). It cannot be: rip is the address behind a `syscall` below GMK_USER_MAX or a thread's entry,
 * which is checked; what arch_regs_set() has changed goes back by iretq. */

#include "arch/x86_64/latency.inc"
#include "arch/x86_64/offsets.h"

        .text

        .macro zero_results
        .irp    r, esi, edx, r8d, r9d, r10d
        xor     %\r, %\r
        .endr
        .endm

/* Results, then the way out: rsp is at frame->rax. */
        .macro pop_results_and_leave
        latency_end_call
        .irp    r, rax, rdi, rsi, rdx, r10, r8, r9, rcx, r11
        pop     %\r
        .endr
        pop     %rsp
        swapgs
        sysretq
        .endm

        .globl  user_syscall
        .type   user_syscall, @function
        .balign 64
user_syscall:
        swapgs
        mov     %rsp, %gs:CPU_SCRATCH
        mov     %gs:CPU_STACK_TOP, %rsp
        push    %gs:CPU_SCRATCH
        push    %r11
        push    %rcx
        lea     -SYS_BASE(%rax), %r11d
        cmp     $SYS_MAX, %r11d
        jae     user_not_native
        sub     $56, %rsp               /* places of results */
        movq    $0, 8(%rsp)             /* rdi: zero unless the call writes it */
        push    $user_resume
        push    %rbp
        push    %rbx
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        and     $SYS_MAX - 1, %r11d     /* also where the branch was mispredicted */
        push    %rax                    /* seventh argument; now rsp is aligned to 16 */
        mov     %r10, %rcx
        latency_begin_syscall
        call    *sys_entries(, %r11, 8)
        mov     %gs:CPU_CURRENT, %rcx
        testl   $SPECIAL_AT_EXIT, THREAD_SPECIAL_AT(%rcx)
        jnz     1f
        latency_end_result
        mov     8 + USER_FRAME_RDI(%rsp), %rdi
        zero_results
        mov     8 + USER_FRAME_RIP(%rsp), %rcx
        mov     8 + USER_FRAME_RFLAGS(%rsp), %r11
        mov     8 + USER_FRAME_RSP(%rsp), %rsp
        swapgs
        sysretq
1:      pop     %rcx                    /* the argument: rsp is at the frame */
        mov     %rax, USER_FRAME_RAX(%rsp)
        xor     %ecx, %ecx
        .irp    at, 8, 16, 24, 32, 40
        mov     %rcx, USER_FRAME_RDI + \at(%rsp)
        .endr
        jmp     user_special
        .size   user_syscall, . - user_syscall

/* Where a switch continues a thread at the boundary of a system call: rsp is at frame->rax, and the
 * registers that C keeps are the thread's. IF off, the run queue locked. */
        .globl  user_resume
        .type   user_resume, @function
user_resume:
        call    sched_switched_user
        mov     %gs:CPU_CURRENT, %rcx
        testl   $SPECIAL_AT_EXIT, THREAD_SPECIAL_AT(%rcx)
        jnz     1f
        pop_results_and_leave
1:      push    $user_resume            /* the frame anew: the call wrote over its lower part */
        push    %rbp
        push    %rbx
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        jmp     user_special
/* The end of arch_user_leave(): rsp is at the frame. */
        .globl  user_finish
user_finish:
        mov     %gs:CPU_CURRENT, %rcx
        testl   $SPECIAL_AT_EXIT, THREAD_SPECIAL_AT(%rcx)
        jz      user_leave_frame
/* rsp is at the frame, results in it. */
user_special:
        sub     $8, %rsp
        call    user_special_call
        add     $8, %rsp
/* The end of arch_user_hand_over(): rsp is at the frame. */
        .globl  user_leave_frame
user_leave_frame:
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbx
        pop     %rbp
        add     $8, %rsp
        pop_results_and_leave
        .size   user_resume, . - user_resume

/* _Noreturn void user_leave(struct arch_user_frame *frame) */
        .globl  user_leave
        .type   user_leave, @function
user_leave:
        mov     %rdi, %rsp
        jmp     user_leave_frame
        .size   user_leave, . - user_leave

/* Not one of our calls. On the stack: rip, rflags, rsp. All other registers are the user's but rcx and r11,
 * which `syscall` has used up. */
        .type   user_not_native, @function
user_not_native:
        cmp     $SYS_NUMBERS, %r11d
        jb      2f
        pop     %rcx
        pop     %r11
        movq    $0x1b, (%rsp)           /* a full frame, as an interrupt would have made it: ss */
        push    %gs:CPU_SCRATCH
        push    %r11
        push    $0x23                   /* cs */
        push    %rcx
        push    $0
        push    $VECTOR_FOREIGN
        .irp    r, rax, rcx, rdx, rbx, rbp, rdi, rsi, r8, r9, r10, r11, r12, r13, r14, r15
        push    %\r
        .endr
        latency_begin_frame
        mov     %rsp, %rdi
        sub     $FULL_FRAME_ROOM, %rsp
        call    sys_foreign
        add     $FULL_FRAME_ROOM, %rsp
        jmp     trap_to_user
2:      mov     $SYS_NONE, %rax
        xor     %edi, %edi
        zero_results
        pop     %rcx
        pop     %r11
        pop     %rsp
        swapgs
        sysretq
        .size   user_not_native, . - user_not_native

/* arch_call_keeping(): *rax, with rdi, rsi and rdx, keeping every register. */
        .globl  user_call_keeping
        .type   user_call_keeping, @function
user_call_keeping:
        .irp    r, rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11, rbp
        push    %\r
        .endr
        mov     %rsp, %rbp
        and     $-16, %rsp
        call    *%rax
        mov     %rbp, %rsp
        .irp    r, rbp, r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax
        pop     %\r
        .endr
        ret
        .size   user_call_keeping, . - user_call_keeping

/* Where a switch continues a thread at the boundary of a full frame: rsp is at the frame. */
        .globl  user_resume_full
        .type   user_resume_full, @function
user_resume_full:
        call    sched_switched_user
        jmp     trap_to_user
        .size   user_resume_full, . - user_resume_full

        .section .note.GNU-stack, "", @progbits
