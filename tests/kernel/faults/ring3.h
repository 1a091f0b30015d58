/* Ring 3: pieces of user code for tests, copied into a unit of their own; what C and they share. */
#pragma once

#define RING3_CODE 0x400000 /* where the pieces lie in the unit */
#define RING3_DATA 0x500000 /* rdi of each thread: struct ring3_data */

#define RING3_RESULTS    0
#define RING3_SURVIVED   128
#define RING3_SEEN       136
#define RING3_TAG        144
#define RING3_BADGE      152
#define RING3_WORDS      160
#define RING3_MORE       192
#define RING3_REPLY_TAG  352
#define RING3_REPLY_W0   360
#define RING3_REPLY_MORE 368
#define RING3_PORT       528
#define RING3_CALL       536
#define RING3_COUNT      592
#define RING3_GO         600
#define RING3_TURNS      608

#ifndef __ASSEMBLER__

#include "ggmk/abi.h"

struct ring3_data {
    /* ring3_call: rax rdi rsi rdx r10 r8 r9 rcx r11 rbx rbp rsp r12 r13 r14 r15 after it */
    uint64_t results[16];
    volatile uint64_t survived; /* an attack's thread came to its end */
    /* ring3_server: what the last message was. */
    volatile uint64_t seen, tag, badge, words[4];
    gmk_regs_t regs;
    /* ring3_server: what it replies. */
    uint64_t reply_tag, reply_w0;
    gmk_regs_t reply_regs;
    uint64_t port;
    uint64_t call[7]; /* ring3_call: rax rdi rsi rdx r10 r8 r9 before it */
    volatile uint64_t count;
    volatile uint64_t go;
    volatile uint64_t turns[8]; /* ring3_vector */
};
GMK_STATIC_ASSERT(offsetof(struct ring3_data, survived) == RING3_SURVIVED, "ring3.S");
GMK_STATIC_ASSERT(offsetof(struct ring3_data, words) == RING3_WORDS, "ring3.S");
GMK_STATIC_ASSERT(offsetof(struct ring3_data, regs) == RING3_MORE, "ring3.S");
GMK_STATIC_ASSERT(offsetof(struct ring3_data, reply_tag) == RING3_REPLY_TAG, "ring3.S");
GMK_STATIC_ASSERT(offsetof(struct ring3_data, reply_regs) == RING3_REPLY_MORE, "ring3.S");
GMK_STATIC_ASSERT(offsetof(struct ring3_data, port) == RING3_PORT, "ring3.S");
GMK_STATIC_ASSERT(offsetof(struct ring3_data, call) == RING3_CALL, "ring3.S");
GMK_STATIC_ASSERT(offsetof(struct ring3_data, count) == RING3_COUNT, "ring3.S");
GMK_STATIC_ASSERT(offsetof(struct ring3_data, go) == RING3_GO, "ring3.S");
GMK_STATIC_ASSERT(offsetof(struct ring3_data, turns) == RING3_TURNS, "ring3.S");

extern const char ring3_start[], ring3_end[];
extern const char ring3_call[], ring3_server[], ring3_count_up[], ring3_jumped_to[], ring3_vector[],
    ring3_tls[], ring3_null_fs[], ring3_kept[], ring3_null_calls[], ring3_spin_call[],
    ring3_vectors[];

/* X(name, fault kinds that it must end with as bits, address of the fault or 0) */
#define R3_ANY     0
#define R3_PROT    (1u << GMK_FAULT_PROTECTION)
#define R3_INVALID (1u << GMK_FAULT_INSTRUCTION)
#define R3_DEBUG   (1u << GMK_FAULT_DEBUG)
#define R3_READ    (1u << GMK_FAULT_READ)
#define R3_WRITE   (1u << GMK_FAULT_WRITE)
#define R3_EXEC    (1u << GMK_FAULT_EXEC)
#define RING3_ATTACK_LIST(X)                                                                       \
    X(hlt, R3_PROT, 0)                                                                             \
    X(cli, R3_PROT, 0)                                                                             \
    X(sti, R3_PROT, 0)                                                                             \
    X(lgdt, R3_PROT, 0)                                                                            \
    X(lidt, R3_PROT, 0)                                                                            \
    X(lldt, R3_PROT, 0) X(ltr, R3_PROT, 0) X(lmsw, R3_PROT, 0) X(cr0_read, R3_PROT, 0) X(          \
        cr0_write, R3_PROT, 0) X(cr2_read, R3_PROT, 0) X(cr3_read, R3_PROT, 0) X(cr3_write,        \
                                                                                 R3_PROT, 0)       \
        X(cr4_write, R3_PROT, 0) X(cr8_write, R3_PROT, 0) X(dr0_write, R3_PROT, 0) X(              \
            dr7_read, R3_PROT, 0) X(wrmsr, R3_PROT, 0) X(rdmsr, R3_PROT, 0) X(rdpmc, R3_PROT, 0)   \
            X(in8, R3_PROT, 0) X(out8, R3_PROT, 0) X(insb, R3_PROT, 0) X(invlpg, R3_PROT, 0)       \
                X(wbinvd, R3_PROT, 0) X(invd, R3_PROT, 0) X(clts, R3_PROT, 0)                      \
                    X(swapgs, R3_PROT, 0) X(sysret, R3_PROT, 0) X(xsetbv, R3_PROT | R3_INVALID, 0) \
                        X(iret_kernel, R3_PROT, 0) X(lcall_kernel, R3_PROT, 0) X(                  \
                            load_tss,                                                              \
                            R3_PROT, 0) X(wrfsbase, R3_INVALID, 0)                                 \
                            X(rdgsbase, R3_INVALID, 0) X(sysenter, R3_PROT | R3_INVALID, 0) X(     \
                                ud2, R3_INVALID, 0) X(lock_bad, R3_INVALID, 0)                     \
                                X(int3, R3_DEBUG, 0) X(icebp, R3_DEBUG | R3_INVALID, 0)            \
                                    X(trap_flag, R3_DEBUG,                                         \
                                      0) X(trap_flag_call, R3_DEBUG,                               \
                                           0) X(mov_ss_int, R3_PROT | R3_DEBUG,                    \
                                                0) X(divide, 1u << GMK_FAULT_DIVIDE,               \
                                                     0) X(no_fpu, 1u << GMK_FAULT_FPU, 0)          \
                                        X(no_x87, 1u << GMK_FAULT_FPU,                             \
                                          0) X(read_kernel, R3_READ, 0xffffffff80200000)           \
                                            X(read_direct, R3_READ, 0xffff800000200000)            \
                                                X(write_kernel, R3_WRITE, 0xffffffff80200000)      \
                                                    X(run_kernel, R3_EXEC, 0xffffffff80200000) X(  \
                                                        read_tables, R3_READ, 0xffffff0000000000)  \
                                                        X(read_null, R3_READ,                      \
                                                          0x8) X(write_code, R3_WRITE, RING3_CODE) \
                                                            X(run_data, R3_EXEC, RING3_DATA)       \
                                                                X(read_crooked, R3_PROT,           \
                                                                  0) X(push_crooked, R3_PROT, 0)   \
                                                                    X(push_kernel, R3_WRITE,       \
                                                                      0xffffffff80200ff8)          \
                                                                        X(jump_crooked,            \
                                                                          R3_PROT | R3_EXEC, 0)
/* What is strange and allowed. */
#define RING3_HARMLESS_LIST(X)                                                      \
    X(flag_ac)                                                                      \
    X(flag_nt)                                                                      \
    X(flag_df)                                                                      \
    X(flags_all)                                                                    \
    X(rsp_crooked)                                                                  \
    X(rsp_kernel) X(rsp_zero) X(null_selectors) X(user_selectors) X(foreign_number) \
        X(number_too_high) X(high_half_rax)

#define RING3_DECLARE_ATTACK(name, kinds, address) extern const char ring3_##name[];
#define RING3_DECLARE(name)                        extern const char ring3_##name[];
RING3_ATTACK_LIST(RING3_DECLARE_ATTACK)
RING3_HARMLESS_LIST(RING3_DECLARE)
#undef RING3_DECLARE_ATTACK
#undef RING3_DECLARE

#endif
