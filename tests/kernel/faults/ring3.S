/* Ring 3: pieces of user code, position-independent. Each begins with rdi = RING3_DATA and rsi = its message
 * buffer, no stack but where it says so, and ends its thread. */
#include "tests/kernel/faults/ring3.h"

#define BASE 0x47470000
#define EXIT       (BASE | 2)
#define YIELD      (BASE | 1)
#define RECV       (BASE | 11)
#define REPLY_RECV (BASE | 16)

        .section .rodata.ring3, "a", @progbits
        .balign 16
        .macro piece name
        .globl ring3_\name
ring3_\name:
        .endm
        .macro attack name
        .balign 16
        piece \name
        mov     %rdi, %rbx
        .endm
        .macro survived
        jmp     ring3_survived
        .endm

        piece start

ring3_survived:                         /* rbx: the data */
        movq    $1, RING3_SURVIVED(%rbx)
        mov     $EXIT, %eax
        xor     %edi, %edi
        xor     %esi, %esi
        syscall
        ud2

/* One system call, as the data says it, with patterns in the registers that it does not take. */
        piece call
        mov     %rdi, %rbx
        mov     RING3_CALL(%rbx), %rax
        mov     RING3_CALL + 8(%rbx), %rdi
        mov     RING3_CALL + 16(%rbx), %rsi
        mov     RING3_CALL + 24(%rbx), %rdx
        mov     RING3_CALL + 32(%rbx), %r10
        mov     RING3_CALL + 40(%rbx), %r8
        mov     RING3_CALL + 48(%rbx), %r9
        mov     $0x1234567812345678, %rbp
        mov     $0x1212, %esp
        mov     $0x1313, %r12d
        mov     $0x1414, %r13d
        mov     $0x1515, %r14d
        mov     $0x1616, %r15d
        syscall
        mov     %rax, (%rbx)
        mov     %rdi, 8(%rbx)
        mov     %rsi, 16(%rbx)
        mov     %rdx, 24(%rbx)
        mov     %r10, 32(%rbx)
        mov     %r8, 40(%rbx)
        mov     %r9, 48(%rbx)
        mov     %rcx, 56(%rbx)
        mov     %r11, 64(%rbx)
        mov     %rbx, 72(%rbx)
        mov     %rbp, 80(%rbx)
        mov     %rsp, 88(%rbx)
        mov     %r12, 96(%rbx)
        mov     %r13, 104(%rbx)
        mov     %r14, 112(%rbx)
        mov     %r15, 120(%rbx)
        survived

/* Receives calls on the port, writes down what came, and replies as the data says. */
        piece server
        mov     %rdi, %rbx
        mov     %rsi, %rbp
        mov     $RECV, %eax
        mov     RING3_PORT(%rbx), %rdi
        mov     $-1, %rsi
        syscall
1:      test    %rax, %rax
        js      2f
        mov     %rax, %r12
        mov     %eax, %eax
        mov     %rax, RING3_TAG(%rbx)
        mov     %rdi, RING3_BADGE(%rbx)
        mov     %rdx, RING3_WORDS(%rbx)
        mov     %r10, RING3_WORDS + 8(%rbx)
        mov     %r8, RING3_WORDS + 16(%rbx)
        mov     %r9, RING3_WORDS + 24(%rbx)
        lea     32(%rbp), %rsi
        lea     RING3_MORE(%rbx), %rdi
        mov     $20, %ecx
        rep movsq
        lea     RING3_REPLY_MORE(%rbx), %rsi
        lea     32(%rbp), %rdi
        mov     $20, %ecx
        rep movsq
        incq    RING3_SEEN(%rbx)
        mov     RING3_REPLY_TAG(%rbx), %rdi
        shl     $32, %rdi
        or      RING3_PORT(%rbx), %rdi
        mov     $-1, %rsi
        mov     RING3_REPLY_W0(%rbx), %rdx
        xor     %r10d, %r10d
        xor     %r8d, %r8d
        xor     %r9d, %r9d
        mov     %r12, %rax
        shr     $32, %rax
        shl     $32, %rax
        or      $REPLY_RECV, %rax
        syscall
        jmp     1b
2:      mov     %rax, %rdi
        mov     $EXIT, %eax
        xor     %esi, %esi
        syscall
        ud2

/* Counts for ever; or until RING3_GO. */
        piece count_up
        mov     $0x1212, %r12d
        mov     $0x1313, %r8d
1:      incq    RING3_COUNT(%rdi)
        jmp     1b
        piece jumped_to                 /* where a test makes it go on */
        mov     %rdi, %rbx
        mov     %r8, 8(%rbx)
        mov     %r12, 16(%rbx)
        survived

/* Waits in system calls: yields for ever. */
        piece spin_call
        mov     %rdi, %rbx
1:      mov     $YIELD, %eax
        syscall
        incq    RING3_COUNT(%rbx)
        cmpq    $0, RING3_GO(%rbx)
        je      1b
        survived

/* Changes its vector registers and looks for them after a yield, until RING3_GO; counts its turns in a word of
 * its own, RING3_TURNS + 8 n for the n-th thread (RING3_CALL). RING3_SURVIVED counts those who found them
 * always. */
        piece vector
        mov     %rdi, %rbx
        mov     $1, %eax
        lock xadd %rax, RING3_CALL(%rbx)
        lea     RING3_TURNS(%rbx, %rax, 8), %r13
        shl     $32, %rax
        mov     %rax, %r12
1:      inc     %r12
        mov     %r12, %rax
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movq    %rax, %xmm\n
        rol     $3, %rax
        .endr
        mov     $YIELD, %eax
        syscall
        mov     %r12, %rax
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movq    %xmm\n, %rcx
        cmp     %rax, %rcx
        jne     2f
        rol     $3, %rax
        .endr
        incq    (%r13)
        cmpq    $0, RING3_GO(%rbx)
        je      1b
        lock incq RING3_SURVIVED(%rbx)
2:      mov     $EXIT, %eax
        xor     %edi, %edi
        xor     %esi, %esi
        syscall
        ud2

/* What its TLS base points at. */
        piece tls
        mov     %rdi, %rbx
        mov     %fs:0, %rax
        mov     %rax, (%rbx)
        survived
/* Makes its FS base 0 behind the kernel's back, again and again, until RING3_GO. */
        piece null_fs
        mov     %rdi, %rbx
1:      mov     $0x1b, %eax
        mov     %eax, %fs
        mov     $YIELD, %eax
        syscall
        incq    RING3_COUNT(%rbx)
        cmpq    $0, RING3_GO(%rbx)
        je      1b
        survived

/* Are all registers kept over interrupts? Runs until RING3_GO; survives if they were. */
        piece kept
        mov     %rdi, %rbx
        .irp    r, rax, rcx, rdx, rbp, rsi, rdi, rsp, r8, r9, r10, r11, r12, r13, r14, r15
        lea     ring3_kept(%rip), %\r
        .endr
        not     %rsp
        std
1:      incq    RING3_COUNT(%rbx)
        stc
        cmpq    $0, RING3_GO(%rbx)
        je      1b
        cld
        not     %rsp
        .irp    r, rcx, rdx, rbp, rsi, rdi, rsp, r8, r9, r10, r11, r12, r13, r14, r15
        cmp     %\r, %rax
        jne     2f
        .endr
        survived
2:      ud2

/* The cycles of RING3_COUNT null calls. */
        piece null_calls
        mov     %rdi, %rbx
        mov     RING3_COUNT(%rbx), %r12
        rdtsc
        mov     %eax, %r13d
1:      mov     $BASE, %eax
        syscall
        dec     %r12
        jnz     1b
        rdtsc
        sub     %r13d, %eax
        mov     %rax, (%rbx)
        survived

/* ---- Attacks ------------------------------------------------------------------------------------- */

        .macro one name, instruction:vararg
        attack  \name
        \instruction
        survived
        .endm

        one     hlt, hlt
        one     cli, cli
        one     sti, sti
        one     lgdt, lgdt (%rbx)
        one     lidt, lidt (%rbx)
        one     lldt, lldt %ax
        one     ltr, ltr %ax
        one     lmsw, lmsw %ax
        one     cr0_read, mov %cr0, %rax
        one     cr0_write, mov %rax, %cr0
        one     cr2_read, mov %cr2, %rax
        one     cr3_read, mov %cr3, %rax
        one     cr3_write, mov %rax, %cr3
        one     cr4_write, mov %rax, %cr4
        one     cr8_write, mov %rax, %cr8
        one     dr0_write, mov %rax, %dr0
        one     dr7_read, mov %dr7, %rax
        attack  wrmsr
        mov     $0xc0000082, %ecx       /* where system calls enter */
        wrmsr
        survived
        attack  rdmsr
        mov     $0xc0000101, %ecx
        rdmsr
        survived
        attack  rdpmc
        xor     %ecx, %ecx
        rdpmc
        survived
        one     in8, inb $0x60, %al
        one     out8, outb %al, $0x80
        one     insb, insb
        one     invlpg, invlpg (%rbx)
        one     wbinvd, wbinvd
        one     invd, invd
        one     clts, clts
        one     swapgs, swapgs
        one     sysret, sysretq
        attack  xsetbv
        xor     %ecx, %ecx
        xsetbv
        survived
        attack  iret_kernel
        lea     1024(%rbx), %rsp
        lea     1f(%rip), %rax
        push    $0x10
        push    %rsp
        pushf
        push    $0x08
        push    %rax
        iretq
1:      survived
        attack  lcall_kernel
        lea     2f(%rip), %rax
        movl    %eax, 1024(%rbx)
        movw    $8, 1028(%rbx)
        lcall   *1024(%rbx)
2:      survived
        attack  load_tss
        mov     $0x28, %eax
        mov     %eax, %ds
        survived
        one     wrfsbase, wrfsbase %rax
        one     rdgsbase, rdgsbase %rax
        one     sysenter, sysenter
        one     ud2, ud2
        one     lock_bad, .byte 0xf0, 0x90
        one     int3, int3
        one     icebp, .byte 0xf1
        attack  trap_flag
        lea     1024(%rbx), %rsp
        pushf
        orq     $0x100, (%rsp)
        popf
        nop
        nop
        survived
        attack  trap_flag_call          /* the trap comes in user mode, behind the call */
        lea     1024(%rbx), %rsp
        mov     $BASE, %eax
        pushf
        orq     $0x100, (%rsp)
        popf
        syscall
        nop
        nop
        survived
        attack  mov_ss_int              /* CVE-2018-8897 */
        lea     1024(%rbx), %rsp
        mov     %ss, %eax
        mov     $BASE, %edx
        pushf
        orq     $0x100, (%rsp)
        popf
        mov     %eax, %ss
        int     $0x80
        survived
        attack  divide
        xor     %ecx, %ecx
        div     %rcx
        survived
        one     no_fpu, movaps %xmm0, %xmm1
        one     no_x87, fninit
        one     read_kernel, mov 0xffffffff80200000, %eax
        attack  read_direct
        mov     $0xffff800000200000, %rax
        mov     (%rax), %rax
        survived
        one     write_kernel, movb $1, 0xffffffff80200000
        attack  run_kernel
        mov     $0xffffffff80200000, %rax
        jmp     *%rax
        attack  read_tables
        mov     $0xffffff0000000000, %rax
        mov     (%rax), %rax
        survived
        one     read_null, mov 8, %eax
        one     write_code, movb $1, RING3_CODE
        attack  run_data
        jmp     *%rbx
        attack  read_crooked
        mov     $0x8000000000000000, %rax
        mov     (%rax), %rax
        survived
        attack  push_crooked
        mov     $0x8000000000000000, %rsp
        push    %rax
        survived
        attack  push_kernel
        mov     $0xffffffff80201000, %rsp
        push    %rax
        survived
        attack  jump_crooked
        mov     $0x8000000000000000, %rax
        jmp     *%rax

        piece vectors                   /* int n, four bytes apart */
        .set    n, 0
        .rept   256
        .byte   0xcd, n
        jmp     .
        .set    n, n + 1
        .endr

/* ---- Harmless ------------------------------------------------------------------------------------ */

        .macro with_flags name, flags
        attack  \name
        lea     1024(%rbx), %rsp
        pushf
        orq     $\flags, (%rsp)
        popf
        mov     $BASE, %eax
        syscall
        mov     %r11, (%rbx)
        pushf
        pop     %rax
        mov     %rax, 8(%rbx)
        mov     1025(%rbx), %rax        /* misaligned: no fault with AC, for CR0.AM is off */
        cld
        survived
        .endm
        with_flags flag_ac, 0x40000
        with_flags flag_nt, 0x4000
        with_flags flag_df, 0x400
        with_flags flags_all, 0x244cd5
        .macro with_rsp name, rsp:vararg
        attack  \name
        mov     \rsp, %rsp
        mov     $BASE, %eax
        syscall
        mov     %rsp, (%rbx)
        survived
        .endm
        with_rsp rsp_crooked, $0x8000000000000000
        with_rsp rsp_kernel, $0xffffffff80201000
        with_rsp rsp_zero, $0
        attack  null_selectors
        xor     %eax, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %fs
        mov     %eax, %gs
        mov     $YIELD, %eax
        syscall
        survived
        attack  user_selectors
        mov     $0x1b, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %fs
        mov     %eax, %gs
        mov     $YIELD, %eax
        syscall
        survived
        attack  foreign_number
        mov     $39, %eax
        syscall
        mov     %rax, (%rbx)
        survived
        attack  number_too_high
        mov     $BASE | 128, %eax
        syscall
        mov     %rax, (%rbx)
        survived
        attack  high_half_rax
        mov     $0xffffffff47470000, %rax
        syscall
        mov     %rax, (%rbx)
        survived
        .balign 16
        piece end

        .section .note.GNU-stack, "", @progbits
