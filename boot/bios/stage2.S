/* Stage 2, the machine's side: into 32-bit mode, back to the BIOS for calls, on to 64-bit mode.
 *
 * The loader proper is C in 32-bit protected mode, flat segments, interrupts off: it reaches all
 * memory below 4 GiB. The BIOS needs 16-bit real mode and interrupts, so bios_call() goes there and
 * back for each call. Everything of the loader lies below 64 KiB: a pointer of its own is also
 * a real-mode offset with segment 0, and the stack is the same in both. */
#include "layout.h"

#define CODE32 0x08
#define DATA32 0x10
#define CODE16 0x18
#define DATA16 0x20
#define CODE64 0x28

#define REGS_SIZE 36 /* struct bios_regs */
#define MSR_EFER  0xc0000080

        .section .entry, "ax", @progbits
        .code16
        .globl  stage2
stage2:                                 /* dl = the drive */
        cli
        mov     $STACK_TOP, %esp        /* the upper half may be anything in real mode */
        mov     %edx, %ebx
        lgdt    gdt_pointer
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmp    $CODE32, $1f
        .code32
1:      call    segments32
        mov     $bss_start, %edi
        mov     $bss_end, %ecx
        sub     %edi, %ecx
        xor     %eax, %eax
        cld
        rep stosb
        movzbl  %bl, %ebx
        push    %ebx
        call    loader_main             /* never returns */

segments32:                             /* keeps all but eax */
        mov     $DATA32, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %fs
        mov     %eax, %gs
        mov     %eax, %ss
        ret

/* void bios_call(unsigned vector, struct bios_regs *regs): the registers go to the stack, where
 * 16-bit code pops them; what the BIOS leaves goes back the same way. */
        .globl  bios_call
bios_call:
        push    %ebx
        push    %esi
        push    %edi
        push    %ebp
        mov     20(%esp), %al
        mov     %al, vector + 1
        mov     24(%esp), %esi
        sub     $REGS_SIZE, %esp
        mov     %esp, %edi
        mov     $(REGS_SIZE / 4), %ecx
        cld
        rep movsl
        lidt    idt_real
        ljmp    $CODE16, $1f
        .code16
1:      mov     $DATA16, %eax           /* 64 KiB limits: real mode keeps them */
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %fs
        mov     %ax, %gs
        mov     %ax, %ss
        mov     %cr0, %eax
        and     $0xfe, %al
        mov     %eax, %cr0
        ljmp    $0, $2f
2:      xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %fs
        mov     %ax, %gs
        mov     %ax, %ss
        add     $2, %sp                 /* struct bios_regs: flags are only for the way back */
        pop     %es
        popal
        sti
vector: int     $0
        cli
        cld
        pushal
        push    %es
        pushf
        xor     %ax, %ax
        mov     %ax, %ds
        lgdt    gdt_pointer             /* some BIOSes leave their own */
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmp    $CODE32, $3f
        .code32
3:      call    segments32
        mov     %esp, %esi
        mov     (REGS_SIZE + 24)(%esp), %edi
        mov     $(REGS_SIZE / 4), %ecx
        rep movsl
        add     $REGS_SIZE, %esp
        pop     %ebp
        pop     %edi
        pop     %esi
        pop     %ebx
        ret

/* bool cpuid_exists(void): EFLAGS.ID can be changed (Intel SDM 1 20.1). */
        .globl  cpuid_exists
cpuid_exists:
        pushf
        pop     %eax
        mov     %eax, %ecx
        xor     $0x200000, %eax
        push    %eax
        popf
        pushf
        pop     %eax
        xor     %ecx, %eax
        shr     $21, %eax
        and     $1, %eax
        ret

/* void enter_kernel(uint32_t entry_low, uint32_t entry_high): 64-bit mode on the page tables at
 * TABLES_AT (Intel SDM 3A 10.8.5), then the kernel with rdi = the struct bios_boot. */
        .globl  enter_kernel
enter_kernel:
        mov     4(%esp), %esi
        mov     8(%esp), %edi
        mov     %cr4, %eax
        or      $0x20, %eax             /* PAE */
        mov     %eax, %cr4
        mov     $TABLES_AT, %eax
        mov     %eax, %cr3
        mov     $MSR_EFER, %ecx
        rdmsr
        or      $0x100, %eax            /* LME */
        wrmsr
        mov     %cr0, %eax
        or      $0x80000000, %eax       /* PG */
        mov     %eax, %cr0
        ljmp    $CODE64, $1f
        .code64
1:      mov     %esi, %eax
        shl     $32, %rdi
        or      %rdi, %rax
        mov     $BIOS_BOOT_AT, %edi
        jmp     *%rax

        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff      /* 32-bit code */
        .quad   0x00cf93000000ffff      /* data */
        .quad   0x00009b000000ffff      /* 16-bit code */
        .quad   0x000093000000ffff      /* 16-bit data */
        .quad   0x00af9b000000ffff      /* 64-bit code */
gdt_end:
gdt_pointer:
        .word   gdt_end - gdt - 1
        .long   gdt
idt_real:                               /* the BIOS's vectors */
        .word   0x3ff
        .long   0

        .section .note.GNU-stack, "", @progbits
