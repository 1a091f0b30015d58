/* Syscall: the instruction itself, with as many arguments as a call takes.
 *
 * What the kernel promises (ggmk/abi.h): rax holds the result; rdi, rsi, rdx, r10, r8, r9 hold what
 * the call returns in them and zero otherwise; rcx and r11 are lost, as the instruction needs them
 * (Intel SDM 2B, SYSCALL). All others are kept. So each argument register is an output as well,
 * and what is not an argument is a clobber: a stub is one `mov` for each, and the instruction.
 *
 * Programs use the named stubs in sys.h and ipc.h, which are made of these. */
#pragma once

#include "ggmk/abi.h"

#define SYSCALL_STUB static inline __attribute__((always_inline)) int64_t

/* rax of a native call. */
#define SYSCALL_NUMBER(n) ((uint64_t)GMK_SYS_BASE | (uint64_t)(n))

SYSCALL_STUB syscall0(uint64_t rax) {
    __asm__ volatile("syscall"
                     : "+a"(rax)
                     :
                     : "rdi", "rsi", "rdx", "r10", "r8", "r9", "rcx", "r11", "cc", "memory");
    return (int64_t)rax;
}

SYSCALL_STUB syscall1(uint64_t rax, uint64_t a0) {
    __asm__ volatile("syscall"
                     : "+a"(rax), "+D"(a0)
                     :
                     : "rsi", "rdx", "r10", "r8", "r9", "rcx", "r11", "cc", "memory");
    return (int64_t)rax;
}

SYSCALL_STUB syscall2(uint64_t rax, uint64_t a0, uint64_t a1) {
    __asm__ volatile("syscall"
                     : "+a"(rax), "+D"(a0), "+S"(a1)
                     :
                     : "rdx", "r10", "r8", "r9", "rcx", "r11", "cc", "memory");
    return (int64_t)rax;
}

SYSCALL_STUB syscall3(uint64_t rax, uint64_t a0, uint64_t a1, uint64_t a2) {
    __asm__ volatile("syscall"
                     : "+a"(rax), "+D"(a0), "+S"(a1), "+d"(a2)
                     :
                     : "r10", "r8", "r9", "rcx", "r11", "cc", "memory");
    return (int64_t)rax;
}

SYSCALL_STUB syscall4(uint64_t rax, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3) {
    register uint64_t r10 __asm__("r10") = a3;
    __asm__ volatile("syscall"
                     : "+a"(rax), "+D"(a0), "+S"(a1), "+d"(a2), "+r"(r10)
                     :
                     : "r8", "r9", "rcx", "r11", "cc", "memory");
    return (int64_t)rax;
}

SYSCALL_STUB syscall5(uint64_t rax, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
                      uint64_t a4) {
    register uint64_t r10 __asm__("r10") = a3;
    register uint64_t r8 __asm__("r8") = a4;
    __asm__ volatile("syscall"
                     : "+a"(rax), "+D"(a0), "+S"(a1), "+d"(a2), "+r"(r10), "+r"(r8)
                     :
                     : "r9", "rcx", "r11", "cc", "memory");
    return (int64_t)rax;
}

SYSCALL_STUB syscall6(uint64_t rax, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                      uint64_t a5) {
    register uint64_t r10 __asm__("r10") = a3;
    register uint64_t r8 __asm__("r8") = a4;
    register uint64_t r9 __asm__("r9") = a5;
    __asm__ volatile("syscall"
                     : "+a"(rax), "+D"(a0), "+S"(a1), "+d"(a2), "+r"(r10), "+r"(r8), "+r"(r9)
                     :
                     : "rcx", "r11", "cc", "memory");
    return (int64_t)rax;
}
