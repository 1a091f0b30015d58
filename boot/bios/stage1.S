/* Stage 1: the boot record. Loads stage 2 from the sectors behind it, and jumps there.
 *
 * The BIOS puts these 512 bytes at 0x7c00 and jumps to them in 16-bit real mode, dl = the drive.
 * It knows one thing only: LBA reads by the extended disk service (INT 13h AH=42h, "BIOS Enhanced
 * Disk Drive Specification"). The 32-bit words of stage 2 add up to 0 (scripts/mkdisk sees to
 * it), so a damaged one is not run. Messages go to the screen and to COM1; then it stops.
 *
 * Registers that live through it: drive at (drive), bp = tries left. */
#include "layout.h"

        .code16
        .text
        .globl  stage1
stage1:
        ljmp    $0, $1f                 /* some BIOSes come in as 07c0:0000 */
1:      xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     $STACK_TOP, %sp
        sti
        cld
        mov     %dl, drive
        call    serial_init

        mov     $0x41, %ah              /* are there extensions, and reads among them? */
        mov     $0x55aa, %bx
        mov     drive, %dl
        int     $0x13
        mov     $text_extensions, %si
        jc      stop
        cmp     $0xaa55, %bx
        jne     stop
        test    $1, %cl
        jz      stop

        mov     $DISK_TRIES, %bp
read:   movw    $STAGE2_SECTORS, packet + 2 /* the BIOS writes how far it got */
        mov     $packet, %si
        mov     drive, %dl
        mov     $0x42, %ah
        int     $0x13
        jnc     check
        mov     %ah, status
        xor     %ax, %ax                /* reset the drive */
        mov     drive, %dl
        int     $0x13
        dec     %bp
        jnz     read
        mov     $text_disk, %si
        call    print
        mov     status, %al
        call    print_hex
        jmp     stopped

check:  mov     $STAGE2_AT, %si
        mov     $(STAGE2_SECTORS * SECTOR_SIZE / 4), %cx
        xor     %edx, %edx
1:      lodsl
        add     %eax, %edx
        loop    1b
        test    %edx, %edx
        mov     $text_damaged, %si
        jnz     stop
        mov     drive, %dl
        ljmp    $0, $STAGE2_AT

stop:   call    print
stopped:
        mov     $text_end, %si
        call    print
1:      cli
        hlt
        jmp     1b

/* 115200 baud, 8N1, no interrupts. */
serial_init:
        mov     $uart, %si
        mov     $(uart_end - uart) / 2, %cx
1:      lodsw                           /* al: value, ah: register */
        mov     $COM1, %dx
        add     %ah, %dl
        out     %al, %dx
        loop    1b
        ret

/* The text at si. */
print:  lodsb
        test    %al, %al
        jz      1f
        call    print_char
        jmp     print
1:      ret

print_hex:                              /* al */
        push    %ax
        shr     $4, %al
        call    1f
        pop     %ax
1:      and     $15, %al
        cmp     $10, %al
        jb      2f
        add     $('a' - '0' - 10), %al
2:      add     $'0', %al
        /* falls through */

print_char:                             /* al; keeps si */
        push    %si
        push    %bp
        push    %ax
        mov     $0x0e, %ah              /* teletype, page 0, grey */
        mov     $0x0007, %bx
        int     $0x10
        mov     $UART_POLLS_MAX, %ecx
1:      mov     $(COM1 + 5), %dx
        in      %dx, %al
        test    $0x20, %al              /* the transmitter is empty */
        jnz     2f
        dec     %ecx
        jnz     1b
2:      pop     %ax
        mov     $COM1, %dx
        out     %al, %dx
        pop     %bp
        pop     %si
        ret

        .balign 4
packet: .byte   16, 0                   /* disk address packet: size, 0 */
        .word   STAGE2_SECTORS
        .word   STAGE2_AT, 0            /* to offset, segment */
        .quad   STAGE2_LBA
uart:   .byte   0x00, 1, 0x80, 3, 1, 0, 0, 1, 0x03, 3, 0x03, 4
uart_end:
drive:  .byte   0
status: .byte   0

text_extensions:
        .asciz  "GGMK loader: this BIOS cannot read the disk by LBA"
text_disk:
        .asciz  "GGMK loader: disk error reading stage 2, BIOS status "
text_end:
        .asciz  ". Stopped.\r\n"
text_damaged:
        .asciz  "GGMK loader: image damaged: checksum of stage 2"

        /* scripts/mkdisk puts a table of partitions at 446: some BIOSes want an active one. */
        .org    510
        .word   0xaa55

        .section .note.GNU-stack, "", @progbits
