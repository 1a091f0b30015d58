/* Frame: the registers of interrupted code, as trap_entry.S leaves them on the stack. */
#pragma once

#include <stdint.h>

struct arch_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rsi, rdi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector;
    uint64_t error;                    /* 0 where the exception has none */
    uint64_t rip, cs, rflags, rsp, ss; /* pushed by the CPU, Intel SDM 3A 6.14.2 */
};
_Static_assert(sizeof(struct arch_frame) == 22 * 8, "trap_entry.S counts on it");
