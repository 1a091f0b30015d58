/* Arch, user mode inline: see "User mode" in arch/arch.h.
 *
 * A switch between user threads costs what differs. Address space: CR3. TLS: the FS base. Vector
 * registers: only their users'. What an interrupt and a system call enter by (stack_top) always. */
#pragma once

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/io.h"
#include "arch/x86_64/offsets.h"
#include "ggmk/base.h"
#include "kernel/core/cpu.h"
#include "kernel/debug/latency.h"
#include "kernel/mem/space.h"
#include "kernel/sched/thread.h"

/* What a system call leaves on the kernel stack, from its lower end: what arch_context_switch() pops,
 * then what the way back to user mode pops. */
struct arch_user_frame {
    uint64_t r15, r14, r13, r12, rbx, rbp;
    uint64_t resume; /* return address of the switch: user_resume in syscall.S */
    uint64_t rax, rdi, rsi, rdx, r10, r8, r9;
    uint64_t rip, rflags, rsp;
};

#define MSR_FS_BASE 0xc0000100u

static inline struct arch_user_frame *arch_user_frame(const struct thread *t) {
    return (struct arch_user_frame *)(t->stack_top - sizeof(struct arch_user_frame));
}

static inline void arch_user_result(struct thread *t, uint64_t rax, uint64_t rdi,
                                    const uint64_t w[4]) {
    struct arch_user_frame *frame = arch_user_frame(t);
    frame->rax = rax;
    frame->rdi = rdi;
    frame->rsi = 0;
    frame->rdx = w[0];
    frame->r10 = w[1];
    frame->r8 = w[2];
    frame->r9 = w[3];
}

static inline void arch_user_status(struct thread *t, int64_t rax) {
    static const uint64_t none[4];
    arch_user_result(t, (uint64_t)rax, 0, none);
}

/* The thread, at the boundary, makes its system call once more, with these first arguments. `syscall` has two
 * bytes; if user code has changed meanwhile, what is there now runs. */
static inline void arch_user_again(struct thread *t, uint64_t rax, const uint64_t args[3]) {
    struct arch_user_frame *frame = arch_user_frame(t);
    arch_user_result(t, rax, args[0], (const uint64_t[4]){args[2]});
    frame->rsi = args[1];
    frame->rip -= 2;
}

static inline void arch_user_boundary(struct thread *t) {
    t->context.stack = t->frame;
}

/* Of a thread that does not run. With a system call's frame a thread is either running or exactly at the
 * boundary; interrupted code may wait deeper in its stack, or at the boundary of its full frame. */
static inline bool arch_user_is_full(const struct thread *t) {
    return t->context.stack != t->frame;
}

/* The calling thread's FS base, from now on; thread->tls is the caller's to set. */
static inline void arch_user_tls(uint64_t base) {
    cpu_this()->arch->tls = base;
    msr_write(MSR_FS_BASE, base);
}

/* Where entries tag what they remember (PCID): space.c. */
void arch_space_enter_tagged(struct cpu *cpu, struct space *space);
void arch_fpu_switch(struct cpu *cpu, struct thread *from, struct thread *to);

/* User code cannot set the FS base, but loading a selector makes it 0 behind our back. In its own unit
 * that is its own mistake; another unit always gets a base written that is not surely 0. */
static inline void arch_user_space(struct cpu *cpu, struct thread *to) {
    struct space *space = to->space;
    if (GMK_UNLIKELY(space->tag != 0)) {
        arch_call_keeping((void (*)(void))arch_space_enter_tagged, cpu, (uintptr_t)space, NULL);
    } else {
        /* Before the root: a load of CR3 is a full barrier (space.h). */
        atomic_store_explicit(&cpu->space, space, memory_order_relaxed);
        cr3_write(space->root);
    }
}

/* Between two user threads without vector registers. */
static inline void arch_user_switch_plain(struct cpu *cpu, struct thread *to) {
    struct arch_cpu_data *data = cpu->arch;
    cpu->stack_top = to->stack_top;
    data->tss.rsp[0] = to->stack_top;
    if (atomic_load_explicit(&cpu->space, memory_order_relaxed) != to->space)
        arch_user_space(cpu, to);
    /* No question whether it is there already: two threads with the same one are rare. */
    data->tls = to->tls;
    msr_write(MSR_FS_BASE, to->tls);
}

static inline void arch_user_switch(struct cpu *cpu, struct thread *from, struct thread *to) {
    if (to->space != NULL)
        arch_user_switch_plain(cpu, to);
    if (GMK_UNLIKELY(to->fpu != NULL || cpu->fpu_on))
        arch_fpu_switch(cpu, from, to);
}

/* The current thread's system call is over, its results are in its frame. No lock held. */
_Noreturn static inline void arch_user_leave(struct thread *t) {
    __asm__ volatile("movq %0, %%rsp\n\t"
                     "jmp user_finish"
                     :
                     : "r"(arch_user_frame(t))
                     : "memory");
    __builtin_unreachable();
}

/* Offsets within the frame, for the way out below. */
#define USER_FRAME_BEHIND_SAVED 48 /* what the first six pops take */
_Static_assert(offsetof(struct arch_user_frame, resume) == USER_FRAME_BEHIND_SAVED, "six pops");
_Static_assert(offsetof(struct arch_user_frame, rip) == USER_FRAME_BEHIND_SAVED + 64, "way out");
_Static_assert(offsetof(struct arch_user_frame, rflags) == USER_FRAME_BEHIND_SAVED + 72, "way out");
_Static_assert(offsetof(struct arch_user_frame, rsp) == USER_FRAME_BEHIND_SAVED + 80, "way out");

/* The same as arch_user_leave(), the results in registers: rax and rdi, all others zero. */
_Noreturn static inline void arch_user_leave_with(struct thread *t, uint64_t rax, uint64_t rdi) {
    uint32_t special = atomic_load_explicit(&t->special, memory_order_relaxed);
    if (LATENCY_ON || GMK_UNLIKELY((special & SPECIAL_EXIT) != 0)) {
        static const uint64_t none[4];
        arch_user_result(t, rax, rdi, none);
        arch_user_leave(t);
    }
    __asm__ volatile("movq %0, %%rsp\n\t"
                     "popq %%r15\n\t"
                     "popq %%r14\n\t"
                     "popq %%r13\n\t"
                     "popq %%r12\n\t"
                     "popq %%rbx\n\t"
                     "popq %%rbp\n\t"
                     "movq 64(%%rsp), %%rcx\n\t"
                     "movq 72(%%rsp), %%r11\n\t"
                     "movq 80(%%rsp), %%rsp\n\t"
                     "xorl %%esi, %%esi\n\t"
                     "xorl %%edx, %%edx\n\t"
                     "xorl %%r10d, %%r10d\n\t"
                     "xorl %%r8d, %%r8d\n\t"
                     "xorl %%r9d, %%r9d\n\t"
                     "swapgs\n\t"
                     "sysretq"
                     :
                     : "r"(arch_user_frame(t)), "a"(rax), "D"(rdi)
                     : "memory");
    __builtin_unreachable();
}

#ifdef GMK_PROFILE_DEV
_Noreturn void user_hand_over_checked(struct thread *to, struct spinlock *a, struct spinlock *b);
#endif

/* One asm each: once a lock is free the old stack may be anybody's, so nothing may use it, and the release
 * is spin_leave() in two instructions: only the holder writes `serving`. */
_Noreturn static inline void arch_user_hand_over(struct thread *to, struct spinlock *a,
                                                 struct spinlock *b) {
#ifdef GMK_PROFILE_DEV
    __asm__ volatile("movq (%0), %%rsp\n\t"
                     "xorl %%ebp, %%ebp\n\t"
                     "jmp user_hand_over_checked"
                     :
                     : "D"(to), "S"(a), "d"(b)
                     : "memory");
#else
    if (b != NULL)
        __asm__ volatile("movq (%0), %%rsp\n\t"
                         "movl $0, %c3(%2)\n\t"
                         "incw %c4(%2)\n\t"
                         "movl $0, %c3(%1)\n\t"
                         "incw %c4(%1)\n\t"
                         "jmp user_leave_frame"
                         :
                         : "r"(to), "r"(a), "r"(b), "i"(offsetof(struct spinlock, owner)),
                           "i"(offsetof(struct spinlock, serving))
                         : "memory");
    else
        __asm__ volatile("movq (%0), %%rsp\n\t"
                         "movl $0, %c2(%1)\n\t"
                         "incw %c3(%1)\n\t"
                         "jmp user_leave_frame"
                         :
                         : "r"(to), "r"(a), "i"(offsetof(struct spinlock, owner)),
                           "i"(offsetof(struct spinlock, serving))
                         : "memory");
#endif
    __builtin_unreachable();
}

/* The same with the results of `to` in registers: what arch_user_result() would have written. Both locks were
 * taken by spin_enter_brief(). Here too everything after the first release is one asm. */
_Noreturn static inline void arch_user_hand_over_message(struct thread *to, struct spinlock *a,
                                                         struct spinlock *b, uint64_t rax,
                                                         uint64_t rdi, uint64_t w0, uint64_t w1,
                                                         uint64_t w2, uint64_t w3) {
#if LATENCY_ON /* DEV, too: the long way, past the instrument */
    const uint64_t words[4] = {w0, w1, w2, w3};
    arch_user_result(to, rax, rdi, words);
    arch_user_hand_over(to, a, b);
#else
    register uint64_t r10 __asm__("r10") = w1;
    register uint64_t r8 __asm__("r8") = w2;
    register uint64_t r9 __asm__("r9") = w3;
    __asm__ volatile("movq (%0), %%rsp\n\t"
                     "incw %c3(%1)\n\t"
                     "incw %c3(%2)\n\t"
                     "popq %%r15\n\t"
                     "popq %%r14\n\t"
                     "popq %%r13\n\t"
                     "popq %%r12\n\t"
                     "popq %%rbx\n\t"
                     "popq %%rbp\n\t"
                     "movq 64(%%rsp), %%rcx\n\t"
                     "movq 72(%%rsp), %%r11\n\t"
                     "movq 80(%%rsp), %%rsp\n\t"
                     "xorl %%esi, %%esi\n\t"
                     "swapgs\n\t"
                     "sysretq"
                     :
                     : "r"(to), "r"(a), "r"(b), "i"(offsetof(struct spinlock, serving)), "a"(rax),
                       "D"(rdi), "d"(w0), "r"(r10), "r"(r8), "r"(r9)
                     : "memory");
    __builtin_unreachable();
#endif
}
