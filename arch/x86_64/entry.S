/* Entry: the kernel's first instructions, by PVH, and what every road shares.
 *
 * A road from 32-bit mode (PVH, Multiboot2) loads edi, esi, edx and jumps to
 * enter_long_mode_from_32. A road from 64-bit mode (Limine, our loader) loads rdi, rsi, rdx and
 * jumps to start64. In both: the function of the road, and its two arguments; the function fills
 * boot_info and returns, and kernel_main() follows.
 *
 * The early page tables map the first 4 GiB at their own addresses, and the first 2 GiB again
 * where the image is linked, by pages of 2 MiB that may be written and executed. mem_init()
 * replaces them. Interrupts are off, and no table of vectors exists: a fault resets. */

#define BASE      0xffffffff80000000
#define PHYS(sym) ((sym) - BASE)
#define UART      0x3f8

/* Page table bits, Intel SDM 3A 4.5. */
#define PRESENT_WRITE 0x3
#define LARGE         0x80

#define MSR_EFER    0xc0000080
#define MSR_GS_BASE 0xc0000101

        .section .note.Xen, "a", @note
        /* XEN_ELFNOTE_PHYS32_ENTRY: the physical address of the 32-bit entry. */
        .balign 4
        .long 4, 8, 18
        .asciz "Xen"
        .quad PHYS(start_pvh)

        .section .text.entry, "ax", @progbits
        .code32

/* PVH: protected mode, flat segments, paging off, ebx = hvm_start_info (Xen docs, "x86/HVM direct
 * boot ABI"). */
        .globl start_pvh
start_pvh:
        mov     $PHYS(road_pvh), %edi
        mov     %ebx, %esi
        xor     %edx, %edx
        /* falls through */

/* edi: physical address of the road's C function; esi, edx: its arguments. */
        .globl enter_long_mode_from_32
enter_long_mode_from_32:
        cli
        cld
        mov     $PHYS(boot_stack_top), %esp
        push    %edx
        call    long_mode_check
        call    early_tables_make
        pop     %edx

        mov     $PHYS(early_pml4), %eax
        mov     %eax, %cr3
        mov     %cr4, %eax
        or      $0x20, %eax             /* PAE */
        mov     %eax, %cr4
        mov     %edx, %ebp
        mov     $MSR_EFER, %ecx
        rdmsr
        or      $0x100, %eax            /* LME */
        wrmsr
        mov     %cr0, %eax
        and     $0x9fffffff, %eax       /* caches on: CD, NW off */
        or      $0x80000001, %eax       /* PG, PE */
        mov     %eax, %cr0
        lgdt    PHYS(early_gdt_pointer)
        ljmp    $8, $PHYS(enter_64)

/* A CPU without long mode: says so on the serial line and stops. */
long_mode_check:
        pushf                           /* CPUID exists if EFLAGS.ID can be changed */
        pop     %eax
        mov     %eax, %ecx
        xor     $0x200000, %eax
        push    %eax
        popf
        pushf
        pop     %eax
        cmp     %eax, %ecx
        je      no_long_mode
        mov     $0x80000000, %eax
        cpuid
        cmp     $0x80000001, %eax
        jb      no_long_mode
        mov     $0x80000001, %eax
        cpuid
        test    $(1 << 29), %edx        /* LM */
        jz      no_long_mode
        ret
no_long_mode:
        mov     $PHYS(no_long_mode_text), %esi
1:      lodsb
        test    %al, %al
        jz      3f
        mov     %al, %ah
        mov     $100000, %ecx           /* a line that never gets ready must not hold us */
        mov     $(UART + 5), %dx
2:      in      %dx, %al
        test    $0x20, %al              /* the transmitter is empty */
        loopz   2b
        mov     %ah, %al
        mov     $UART, %dx
        out     %al, %dx
        jmp     1b
3:      cli
        hlt
        jmp     3b

/* Keeps edi and esi. */
early_tables_make:
        mov     $PHYS(early_pd), %eax   /* 4 x 512 pages of 2 MiB */
        mov     $(PRESENT_WRITE | LARGE), %edx
        mov     $2048, %ecx
1:      mov     %edx, (%eax)
        add     $0x200000, %edx
        add     $8, %eax
        loop    1b
        mov     $PHYS(early_pdpt), %eax
        mov     $(PHYS(early_pd) + PRESENT_WRITE), %edx
        mov     $4, %ecx
2:      mov     %edx, (%eax)
        add     $0x1000, %edx
        add     $8, %eax
        loop    2b
        movl    $(PHYS(early_pd) + PRESENT_WRITE), PHYS(early_pdpt_high) + 510 * 8
        movl    $(PHYS(early_pd) + 0x1000 + PRESENT_WRITE), PHYS(early_pdpt_high) + 511 * 8
        movl    $(PHYS(early_pdpt) + PRESENT_WRITE), PHYS(early_pml4)
        movl    $(PHYS(early_pdpt_high) + PRESENT_WRITE), PHYS(early_pml4) + 511 * 8
        ret

        .code64
enter_64:
        mov     %edi, %edi              /* clears the upper halves */
        mov     %esi, %esi
        mov     %ebp, %edx
        mov     $BASE, %rax
        add     %rax, %rdi
        mov     $start64, %rax
        jmp     *%rax

/* rdi: the road's function (virtual); rsi, rdx: its arguments. Any valid segments and page tables
 * that map the image where it is linked. */
        .globl start64
start64:
        cli
        cld
        mov     $boot_stack_top, %rsp
        push    $0                      /* backtraces end here */
        push    $0
        xor     %ebp, %ebp
        mov     %rdi, %rbx
        mov     %rsi, %rdi
        mov     %rdx, %rsi
        lgdt    early_gdt_pointer_64
        pushq   $8
        pushq   $1f
        lretq
1:      mov     $16, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        xor     %eax, %eax
        mov     %eax, %fs
        mov     %eax, %gs
        mov     $MSR_GS_BASE, %ecx      /* C code finds its CPU from the first instruction on */
        mov     $boot_cpu, %rax
        mov     %rax, 0(%rax)           /* struct cpu: self */
        mov     %rax, %rdx
        shr     $32, %rdx
        wrmsr
        rdtsc                           /* a guard value that differs from boot to boot */
        shl     $32, %rdx
        or      %rdx, %rax
        mov     $0x9e3779b97f4a7c15, %rcx
        imul    %rcx, %rax
        mov     %rax, __stack_chk_guard
        call    *%rbx
        call    kernel_main
        ud2

        .section .rodata.entry, "a", @progbits
        .balign 8
early_gdt:
        .quad   0
        .quad   0x00af9b000000ffff      /* 8: 64-bit code */
        .quad   0x00cf93000000ffff      /* 16: data */
early_gdt_end:
early_gdt_pointer:
        .word   early_gdt_end - early_gdt - 1
        .long   PHYS(early_gdt)
early_gdt_pointer_64:
        .word   early_gdt_end - early_gdt - 1
        .quad   early_gdt
no_long_mode_text:
        .asciz  "GGMK needs a 64-bit CPU: this one has no long mode. Stopped.\r\n"

        .section .bss.page_aligned, "aw", @nobits
        .balign 4096
early_pml4:
        .skip   4096
early_pdpt:
        .skip   4096
early_pdpt_high:
        .skip   4096
early_pd:
        .skip   4 * 4096
        .globl  boot_stack_guard, boot_stack_top
boot_stack_guard:                       /* unmapped once the kernel has tables of its own */
        .skip   4096
        .skip   16 * 1024
boot_stack_top:
