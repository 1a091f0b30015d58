/* Copy: reads and writes user memory, and survives any address.
 *
 * An instruction here that touches user memory may fault; the table at the end names each, and where to
 * go on when the fault cannot be resolved (arch_copy_fixup(), user.c). SMAP, where it is in use, forbids
 * the kernel user memory but between `stac` and `clac`. Addresses have been checked. */

        .text

        .macro  user_open
        cmpb    $0, smap_in_use(%rip)
        je      9f
        stac
9:
        .endm
        .macro  user_close
        cmpb    $0, smap_in_use(%rip)
        je      9f
        clac
9:
        .endm

/* int copy_bytes(void *to, const void *from, size_t size): 0, or GMK_EFAULT */
        .globl  copy_bytes
        .type   copy_bytes, @function
copy_bytes:
        user_open
        mov     %edx, %eax
        mov     %rdx, %rcx
        shr     $3, %rcx
copy_words:
        rep movsq
        mov     %eax, %ecx
        and     $7, %ecx
copy_rest:
        rep movsb
        user_close
        xor     %eax, %eax
        ret
        .size   copy_bytes, . - copy_bytes

/* int copy_word32(uint32_t *to, const uint32_t *from), as one access: likewise */
        .globl  copy_word32
        .type   copy_word32, @function
copy_word32:
        user_open
copy_word:
        mov     (%rsi), %eax
        user_close
        mov     %eax, (%rdi)
        xor     %eax, %eax
        ret
        .size   copy_word32, . - copy_word32

copy_failed:
        user_close
        mov     $-29, %eax              /* GMK_EFAULT */
        ret

        .section .rodata
        .balign 8
        .globl  copy_fixups
copy_fixups:                            /* the instruction, where to go on */
        .quad   copy_words, copy_failed
        .quad   copy_rest, copy_failed
        .quad   copy_word, copy_failed
        .quad   0

        .section .note.GNU-stack, "", @progbits
