/* Fake arch, user mode inline: a user frame is the seven places of a system call's results, at the end of
 * what the test calls a kernel stack. */
#pragma once

#include "kernel/core/cpu.h"
#include "kernel/core/lock.h"
#include "kernel/sched/thread.h"

struct arch_user_frame {
    uint64_t rax, rdi, rsi, rdx, r10, r8, r9;
};

static inline struct arch_user_frame *arch_user_frame(const struct thread *t) {
    return (struct arch_user_frame *)(t->stack_top - sizeof(struct arch_user_frame));
}

static inline void arch_user_result(struct thread *t, uint64_t rax, uint64_t rdi,
                                    const uint64_t w[4]) {
    *arch_user_frame(t) = (struct arch_user_frame){rax, rdi, 0, w[0], w[1], w[2], w[3]};
}

static inline void arch_user_status(struct thread *t, int64_t rax) {
    static const uint64_t none[4];
    arch_user_result(t, (uint64_t)rax, 0, none);
}

static inline void arch_user_boundary(struct thread *t) {
    t->context.stack = (uintptr_t)arch_user_frame(t);
}

static inline bool arch_user_is_full(const struct thread *t) {
    return t->context.stack != (uintptr_t)arch_user_frame(t);
}

/* What a test that uses them gives. */
void arch_user_switch(struct cpu *cpu, struct thread *from, struct thread *to);
void arch_user_switch_plain(struct cpu *cpu, struct thread *to);
void arch_fpu_switch(struct cpu *cpu, struct thread *from, struct thread *to);
_Noreturn void arch_user_hand_over(struct thread *to, struct spinlock *a, struct spinlock *b);
