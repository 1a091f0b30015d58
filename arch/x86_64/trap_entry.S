/* Trap entry: from any of the 256 vectors to C, and back.
 *
 * Each vector has a stub that brings all frames into one form (struct arch_frame): an error code,
 * 0 where the CPU pushes none, then the vector.
 *
 * gs. In the kernel, GS_BASE points at this CPU's struct cpu. User code has its own there, and the
 * kernel's waits in KERNEL_GS_BASE. Two entries:
 *   - the common one looks at the privilege of what was interrupted: user code means swapgs, once
 *     on the way in and once on the way out. `lfence` keeps a mispredicted branch from going on
 *     with the wrong base.
 *   - NMI, double fault and machine check can strike between an entry and its swapgs, where that
 *     test is wrong. They run on stacks of their own (IST), and the word above each holds the CPU's
 *     address: the entry loads GS_BASE from there and puts the old value back on the way out,
 *     whatever it was.
 *   - a debug exception can do so too: `mov ss` puts it off until after the next instruction, which
 *     may be a `syscall` or `int3` (CVE-2018-8897; Intel SDM 3A 6.8.3). So it has such a stack; when it
 *     comes from user code its frame moves to the thread's stack, since the thread may wait there.
 * An iret lets the next NMI in, so the NMI handler must not take an exception. (Intel SDM 3A 6.7.1)
 *
 * To user mode. The frame then is a *full* one at the end of the thread's stack (arch/arch.h). Below it
 * there is room in which the handler can make it a boundary, and go on elsewhere. An `iretq` cannot fault
 * here: selectors are ours, and rip was user code's, or checked (arch_frame_regs_set()).
 *
 * Vector registers are not saved: the kernel does not use them. */

#include "arch/x86_64/latency.inc"
#include "arch/x86_64/offsets.h"

#define FRAME_VECTOR 120
#define FRAME_CS     144
#define FRAME_FLAGS  152
#define FRAME_SIZE   176
#define FLAG_IF      0x200
#define MSR_GS_BASE  0xc0000101
#define FIRST_IRQ    32

        .text
        .code64

        .macro save_registers
        .irp    r, rax, rcx, rdx, rbx, rbp, rdi, rsi, r8, r9, r10, r11, r12, r13, r14, r15
        push    %\r
        .endr
        cld
        .endm

        .macro load_registers
        .irp    r, r15, r14, r13, r12, r11, r10, r9, r8, rsi, rdi, rbp, rbx, rdx, rcx, rax
        pop     %\r
        .endr
        add     $16, %rsp               /* vector and error code */
        .endm

        .balign 16
trap_common:
        save_registers
        testb   $3, FRAME_CS(%rsp)
        jz      1f
        swapgs
        lfence
        xor     %ebp, %ebp              /* backtraces end here */
1:      cmpb    $0, smap_in_use(%rip)
        je      1f
        clac                            /* set by user code, or by a copy that faulted */
1:      latency_begin_frame
        mov     FRAME_VECTOR(%rsp), %edi
        mov     %rsp, %rsi
        cmp     $FIRST_IRQ, %edi
        jb      3f
        call    irq_dispatch
        testl   $FLAG_IF, FRAME_FLAGS(%rsp)
        jz      2f                      /* interrupted with interrupts off: only by `int` */
        call    sched_irq_exit
2:      testb   $3, FRAME_CS(%rsp)
        jnz     trap_to_user
        latency_end_frame
        load_registers
        iretq
3:      sub     $FULL_FRAME_ROOM, %rsp
        call    trap_handle
        add     $FULL_FRAME_ROOM, %rsp
        jmp     2b

/* rsp is at a full frame. */
        .globl  trap_to_user
trap_to_user:
        mov     %gs:CPU_CURRENT, %rax
        testl   $SPECIAL_AT_EXIT, THREAD_SPECIAL_AT(%rax)
        jnz     1f
        latency_end_frame
        swapgs
        load_registers
        iretq
1:      mov     %rsp, %rdi
        sub     $FULL_FRAME_ROOM, %rsp
        call    user_special_full
        add     $FULL_FRAME_ROOM, %rsp
        jmp     trap_to_user

/* On the stack of debug exceptions: vector, error, rip, cs, rflags, rsp, ss. */
        .balign 16
trap_debug:
        testb   $3, 24(%rsp)
        jz      trap_paranoid
        swapgs
        lfence
        push    %rax
        mov     %rsp, %rax
        mov     %gs:CPU_STACK_TOP, %rsp
        .irp    at, 56, 48, 40, 32, 24, 16, 8
        push    \at(%rax)
        .endr
        mov     (%rax), %rax
        swapgs                          /* as the common entry expects it */
        jmp     trap_common

        .balign 16
trap_paranoid:
        save_registers
        mov     $MSR_GS_BASE, %ecx
        rdmsr
        mov     %eax, %r12d
        mov     %edx, %r13d
        mov     FRAME_SIZE(%rsp), %rax  /* the word above the stack: struct cpu */
        mov     %rax, %rdx
        shr     $32, %rdx
        wrmsr
        cmpb    $0, smap_in_use(%rip)
        je      1f
        clac
1:      mov     FRAME_VECTOR(%rsp), %edi
        mov     %rsp, %rsi
        call    trap_handle
        mov     $MSR_GS_BASE, %ecx
        mov     %r12d, %eax
        mov     %r13d, %edx
        wrmsr
        load_registers
        iretq

/* Stubs, 16 bytes each. Which exceptions push an error code: Intel SDM 3A, table 6-1. */
        .globl trap_stubs
        .balign 16
trap_stubs:
        .set    vector, 0
        .rept   256
        .balign 16
        .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
        push    $0
        .endif
        push    $vector
        .if (vector == 1)
        jmp     trap_debug
        .elseif (vector == 2) || (vector == 8) || (vector == 18)
        jmp     trap_paranoid
        .else
        jmp     trap_common
        .endif
        .set    vector, vector + 1
        .endr
        .balign 16
trap_stubs_end:
