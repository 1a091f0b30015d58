/* Probe: a tiny kernel that proves whether an accelerator runs ring 0 as hardware does.
 *
 * Problem: some cloud machines offer a /dev/kvm that interprets ring 0, at a thousand cycles and
 * more per instruction, and breaks SYSCALL. That it exists proves nothing; behaviour does.
 *
 * Idea: do what every kernel does all day, and leave through isa-debug-exit at 0xf4: QEMU's exit
 * status is then value * 2 + 1. 0x10 (status 33) says that all went well, 0x11 that the loop was
 * too slow, 0x12 that there is no long mode, 0x40 + stage that a stage ended in an exception.
 * Whoever hangs is killed by scripts/qemu, and a triple fault exits with 0: neither is 33.
 *
 * It starts by PVH (Xen's docs/misc/pvh.markdown): 32-bit protected mode, flat segments, paging
 * off. The stages, counted in %ebp:
 *   1 long mode   2 a loop of LOOPS, timed   3 STAC and CLAC (where CPUID has SMAP)
 *   4 CMPXCHG16B (where CPUID has it)   5 SYSRET to ring 3 and SYSCALL back, PAIRS times */

#define LOOPS      100000
#define CYCLES_MAX (LOOPS * 50) /* hardware needs 1 to 5 per turn */
#define PAIRS      100

#define EXIT_PORT    0xf4
#define EXIT_PASS    0x10
#define EXIT_SLOW    0x11
#define EXIT_OLD     0x12
#define EXIT_TRAPPED 0x40

#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define USER_BASE   0x18 /* SYSRET: stack segment is 8 above, 64-bit code 16 above */

#define MSR_EFER  0xc0000080 /* bit 0 SCE, bit 8 LME; Intel SDM 3A 2.2.1 */
#define MSR_STAR  0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_FMASK 0xc0000084

    .section .note.pvh, "a", @note
    .long 4, 4, 18 /* name size, value size, XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long probe_start

    .text
    .code32
    .globl probe_start
probe_start:
    cli
    cld
    movl $stack_end, %esp
    movl $1, %ebp
    movl $0x80000000, %eax /* is there a leaf that tells of long mode, and does it? */
    cpuid
    cmpl $0x80000001, %eax
    jb too_old
    movl $0x80000001, %eax
    cpuid
    testl $(1 << 29), %edx
    jz too_old

    movl %cr4, %eax
    orl $(1 << 5), %eax /* PAE */
    movl %eax, %cr4
    movl $top_table, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $(1 << 8 | 1 << 0), %eax
    wrmsr
    movl %cr0, %eax
    orl $(1 << 31 | 1 << 0), %eax
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $KERNEL_CODE, $long_mode

too_old:
    movb $EXIT_OLD, %al
    outb %al, $EXIT_PORT
    hlt

    .code64
long_mode:
    movl $KERNEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    call catch_exceptions

    incl %ebp /* 2: the loop */
    rdtsc
    movl %eax, %esi
    movl $LOOPS, %ecx
1:  decl %ecx
    jnz 1b
    rdtsc
    subl %esi, %eax
    cmpl $CYCLES_MAX, %eax
    movb $EXIT_SLOW, %al
    ja leave

    incl %ebp /* 3: STAC, CLAC */
    xorl %eax, %eax
    cpuid
    cmpl $7, %eax
    jb 1f
    movl $7, %eax
    xorl %ecx, %ecx
    cpuid
    testl $(1 << 20), %ebx
    jz 1f
    stac
    clac

1:  incl %ebp /* 4: CMPXCHG16B */
    movl $1, %eax
    cpuid
    testl $(1 << 13), %ecx
    jz 1f
    xorl %eax, %eax
    xorl %edx, %edx
    movl $0x12345678, %ebx
    xorl %ecx, %ecx
    lock cmpxchg16b pair
    cmpl $0x12345678, pair
    jne fail

1:  incl %ebp /* 5: SYSRET and SYSCALL */
    movl $MSR_STAR, %ecx
    xorl %eax, %eax
    movl $(USER_BASE << 16 | KERNEL_CODE), %edx
    wrmsr
    movl $MSR_LSTAR, %ecx
    movl $from_ring3, %eax
    xorl %edx, %edx
    wrmsr
    movl $MSR_FMASK, %ecx
    movl $0x200, %eax
    wrmsr
    movl $PAIRS, %ebx
to_ring3:
    movl $ring3, %ecx
    movl $2, %r11d
    xorl %eax, %eax
    sysretq
ring3:
    leal 1(%ebx), %eax /* proves that this ran */
    syscall
fail:
    jmp trapped
from_ring3:
    leal 1(%ebx), %edx
    cmpl %edx, %eax
    jne fail
    decl %ebx
    jnz to_ring3
    movb $EXIT_PASS, %al
leave:
    outb %al, $EXIT_PORT
    hlt

/* Every exception ends here: exits with the stage. */
trapped:
    leal EXIT_TRAPPED(%ebp), %eax
    jmp leave

/* 32 gates to trapped(). */
catch_exceptions:
    movl $idt, %edi
    movl $32, %ecx
1:  movl $trapped, %eax
    movw %ax, 0(%rdi)
    movw $KERNEL_CODE, 2(%rdi)
    movw $0x8e00, 4(%rdi) /* present, interrupt gate */
    shrl $16, %eax
    movw %ax, 6(%rdi)
    addq $16, %rdi
    loop 1b
    lidt idt_pointer
    ret

    .data
    .balign 16
pair:
    .quad 0, 0
gdt:
    .quad 0
    .quad 0x00af9b000000ffff /* KERNEL_CODE */
    .quad 0x00cf93000000ffff /* KERNEL_DATA */
    .quad 0                  /* USER_BASE: 32-bit code, unused */
    .quad 0x00cff3000000ffff /* user data */
    .quad 0x00affb000000ffff /* user code */
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .quad gdt
idt_pointer:
    .word 32 * 16 - 1
    .quad idt

/* The first GiB in 2 MiB pages, open to ring 3. */
    .balign 4096
top_table:
    .quad directory_table + 7
    .fill 511, 8, 0
directory_table:
    .quad page_table + 7
    .fill 511, 8, 0
page_table:
    .set at, 0
    .rept 8
    .quad at + 0x87
    .set at, at + 0x200000
    .endr
    .fill 504, 8, 0

    .bss
    .balign 16
idt:
    .skip 32 * 16
    .skip 4096
stack_end:
