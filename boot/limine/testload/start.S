/* Start: from Multiboot 1 to 64-bit C, the other CPUs' way in, and the last jump. */
#include "testload.h"

#define MAGIC    0x1badb002
#define FLAGS    3              /* modules on page boundaries, memory map */
#define MSR_EFER 0xc0000080
#define MSR_PAT  0x277

        .section .multiboot, "a", @progbits
        .balign 4
        .long   MAGIC, FLAGS, -(MAGIC + FLAGS)

        .text
        .code32
        .globl  start
start:                          /* eax = 0x2badb002, ebx = the Multiboot structure */
        mov     $boot_stack + STACK_SIZE, %esp
        mov     %ebx, %esi
        mov     $pages, %edi            /* 4 GiB by pages of 2 MiB */
        mov     $0x83, %eax
1:      mov     %eax, (%edi)
        movl    $0, 4(%edi)
        add     $8, %edi
        add     $0x200000, %eax
        jnc     1b
        mov     $pdpt, %edi
        mov     $pages + 3, %eax
        mov     $4, %ecx
2:      mov     %eax, (%edi)
        add     $0x1000, %eax
        add     $8, %edi
        loop    2b
        movl    $pdpt + 3, pml4         /* at their own addresses, and in the direct map */
        movl    $pdpt + 3, pml4 + 8 * HHDM_SLOT
        call    paging_on
        lgdt    gdt_pointer
        ljmp    $CODE64, $3f
        .code64
3:      call    segments
        mov     %esi, %edi
        call    testload_main

        .code32
paging_on:                              /* PAE, NX, long mode, WP, Limine's PAT */
        mov     %cr4, %eax
        or      $0x20, %eax
        mov     %eax, %cr4
        mov     $pml4, %eax
        mov     %eax, %cr3
        mov     $MSR_EFER, %ecx
        rdmsr
        or      $0x900, %eax
        wrmsr
        mov     $MSR_PAT, %ecx          /* "Caching": WB WT UC- UC, WP WC - - */
        mov     $0x00070406, %eax
        mov     $0x00070105, %edx
        wrmsr
        mov     %cr0, %eax
        or      $0x80010000, %eax
        mov     %eax, %cr0
        ret

        .code64
segments:
        mov     $DATA64, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %fs
        mov     %eax, %gs
        mov     %eax, %ss
        ret

/* A CPU starts here, copied to TRAMPOLINE, in real mode. */
        .globl  trampoline, trampoline_end
        .code16
trampoline:
        cli
        xor     %ax, %ax
        mov     %ax, %ds
        lgdtl   TRAMPOLINE + (gdt_pointer_copy - trampoline)
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmpl   $0x18, $ap32
gdt_pointer_copy:
        .word   gdt_end - gdt - 1
        .long   gdt
trampoline_end:

        .code32
ap32:   mov     $0x20, %eax
        mov     %eax, %ds
        mov     %eax, %ss
        mov     ap_stack, %esp
        call    paging_on
        ljmp    $CODE64, $1f
        .code64
1:      call    segments
        mov     ap_info, %rdi
        mov     ap_stack, %rsp
        mov     $HHDM, %rax
        add     %rax, %rsp
        call    to_kernel_tables
        movq    $1, 8(%rdi)             /* reserved: here we are */
2:      pause
        mov     16(%rdi), %rax          /* goto_address */
        test    %rax, %rax
        jz      2b
        push    $0
        jmp     *%rax

/* Goes on at the direct map's address of the caller, on the kernel's page tables. Keeps rdi. */
to_kernel_tables:
        mov     $HHDM, %rax
        lea     1f(%rax), %rdx
        jmp     *%rdx
1:      pop     %rdx
        add     %rax, %rdx
        lgdt    gdt_pointer_high(%rax)
        mov     final_tables(%rax), %rcx
        mov     %rcx, %cr3
        jmp     *%rdx

        .globl  enter
enter:                                  /* rdi: entry, rsi: stack (virtual) */
        mov     %rsi, %rsp
        call    to_kernel_tables
        push    $0
        mov     %rdi, %rax
        xor     %ecx, %ecx
        xor     %edx, %edx
        xor     %ebx, %ebx
        xor     %esi, %esi
        xor     %edi, %edi
        xor     %ebp, %ebp
        jmp     *%rax

        .data
        .balign 8
gdt:    .quad   0                       /* "Machine State at Entry" lists these */
        .quad   0x00009b000000ffff
        .quad   0x000093000000ffff
        .quad   0x00cf9b000000ffff
        .quad   0x00cf93000000ffff
        .quad   0x00af9b000000ffff
        .quad   0x00af93000000ffff
gdt_end:
gdt_pointer:
        .word   gdt_end - gdt - 1
        .quad   gdt
gdt_pointer_high:
        .word   gdt_end - gdt - 1
        .quad   gdt + HHDM
        .globl  ap_info, ap_stack, final_tables
        .balign 8
ap_info: .quad  0
ap_stack: .quad 0
final_tables: .quad 0

        .bss
        .balign 4096
pml4:   .skip   4096
pdpt:   .skip   4096
pages:  .skip   4 * 4096
boot_stack:
        .skip   STACK_SIZE

        .section .note.GNU-stack, "", @progbits
