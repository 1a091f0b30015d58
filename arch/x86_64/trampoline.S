/* Trampoline: the first instructions of every CPU but the one that booted.
 *
 * A start-up IPI starts a CPU in real mode at the beginning of a page below 1 MiB. smp.c copies
 * smp_trampoline there, and maps the page at its own address for the moment in which paging is
 * turned on. All CPUs go through it at once, so it keeps nothing but what is the same for all: which
 * CPU this is, and so which stack is its own, is found out in smp_enter, by APIC id.
 *
 * Limine leaves CPUs waiting in 64-bit mode on its own tables: they come by smp_enter_limine. */

#define SLOT_WAITS 1
#define SLOT_TAKEN 2
#define SLOT_SIZE  24
#define SLOT_STATE 4
#define SLOT_STACK 8
#define SLOT_CPU   16

#define MSR_EFER    0xc0000080
#define MSR_GS_BASE 0xc0000101

        .section .rodata.trampoline, "a", @progbits
        .balign 16
        .code16
        .globl smp_trampoline, smp_trampoline_size, smp_trampoline_root
smp_trampoline:
        cli
        cld
        xor     %ebx, %ebx
        mov     %cs, %bx
        mov     %bx, %ds
        shl     $4, %ebx                /* the page's address, from here to 64-bit mode */
        lea     (gdt - smp_trampoline)(%ebx), %eax
        mov     %eax, gdt_pointer - smp_trampoline + 2
        lea     (protected - smp_trampoline)(%ebx), %eax
        mov     %eax, to_protected - smp_trampoline
        lea     (long_mode - smp_trampoline)(%ebx), %eax
        mov     %eax, to_long_mode - smp_trampoline
        lgdtl   gdt_pointer - smp_trampoline
        mov     %cr0, %eax
        or      $1, %eax                /* PE */
        mov     %eax, %cr0
        ljmpl   *(to_protected - smp_trampoline)

        .code32
protected:
        mov     $16, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     %cr4, %eax
        or      $0x20, %eax             /* PAE */
        mov     %eax, %cr4
        mov     (root - smp_trampoline)(%ebx), %eax
        mov     %eax, %cr3
        mov     $MSR_EFER, %ecx
        rdmsr
        or      $0x900, %eax            /* LME; NXE, since the tables use it */
        wrmsr
        mov     $0x80010033, %eax       /* PG, WP, NE, ET, MP, PE; CD and NW, which INIT sets, off */
        mov     %eax, %cr0
        ljmp    *(to_long_mode - smp_trampoline)(%ebx)

        .code64
long_mode:
        mov     $smp_enter, %rax
        jmp     *%rax

        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff      /* 8: 32-bit code, marked as accessed: the page is read-only */
        .quad   0x00cf93000000ffff      /* 16: data */
        .quad   0x00af9b000000ffff      /* 24: 64-bit code */
gdt_pointer:
        .word   gdt_pointer - gdt - 1
        .long   0
to_protected:
        .long   0
        .word   8
to_long_mode:
        .long   0
        .word   24
        .balign 4
root:   .long   0                       /* written by smp.c: the kernel's page tables */
smp_trampoline_size:
        .long   . - smp_trampoline
smp_trampoline_root:                    /* where it is */
        .long   root - smp_trampoline

        .text
        .globl smp_enter_limine, smp_enter
smp_enter_limine:
        mov     smp_root(%rip), %rax
        mov     %rax, %cr3

/* 64-bit mode, the kernel's page tables, no stack. */
smp_enter:
        cli
        cld
        xor     %eax, %eax              /* APIC id: 32 bits of leaf 0Bh, or 8 of leaf 1 */
        cpuid
        cmp     $0xb, %eax
        jb      1f
        mov     $0xb, %eax
        xor     %ecx, %ecx
        cpuid
        test    %ebx, %ebx              /* 0: the leaf is not there after all */
        jnz     2f
1:      mov     $1, %eax
        cpuid
        shr     $24, %ebx
        mov     %ebx, %edx
2:      mov     $smp_slots, %rdi
        mov     smp_slot_count(%rip), %ecx
3:      test    %ecx, %ecx
        jz      5f
        cmp     %edx, (%rdi)
        jne     4f
        mov     $SLOT_WAITS, %eax       /* is it still waited for? */
        mov     $SLOT_TAKEN, %ebx
        lock cmpxchg %ebx, SLOT_STATE(%rdi)
        je      6f
4:      add     $SLOT_SIZE, %rdi
        dec     %ecx
        jmp     3b
5:      lock incl smp_halted(%rip)      /* nobody waits for this CPU */
0:      cli
        hlt
        jmp     0b

6:      mov     SLOT_STACK(%rdi), %rsp
        mov     SLOT_CPU(%rdi), %rax
        mov     %rax, %rdx
        shr     $32, %rdx
        mov     $MSR_GS_BASE, %ecx
        wrmsr
        xor     %ebp, %ebp              /* backtraces end here */
        call    smp_main
        ud2

        .section .note.GNU-stack, "", @progbits
