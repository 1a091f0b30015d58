/* User: what user mode needs of each CPU, and the registers of a thread that is not running.
 *
 * A user frame is at the end of its thread's kernel stack, whole or a system call's (arch/arch.h). Which
 * of the two: a thread with a system call's frame is either running or exactly at the boundary, so its
 * saved stack pointer tells (arch_user_is_full()). */
#include "arch/x86_64/user.h"

#include "arch/arch.h"
#include "arch/x86_64/arch_user.h"
#include "arch/x86_64/frame.h"
#include "ggmk/error.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/sys/sys.h"

#include <string.h>

#define MSR_EFER         0xc0000080u
#define MSR_STAR         0xc0000081u
#define MSR_LSTAR        0xc0000082u
#define MSR_FMASK        0xc0000084u
#define MSR_CAPABILITIES 0x10au
#define EFER_SCE         1u
#define CR0_TS           8u
/* TF IF DF IOPL NT RF AC: none of them may follow user code into the kernel. */
#define FMASK (1u << 8 | 1u << 9 | 1u << 10 | 3u << 12 | 1u << 14 | 1u << 16 | 1u << 18)
#define RPL   3u

_Static_assert(offsetof(struct cpu, current) == CPU_CURRENT, "offsets.h");
_Static_assert(offsetof(struct cpu, stack_top) == CPU_STACK_TOP, "offsets.h");
_Static_assert(offsetof(struct cpu, scratch) == CPU_SCRATCH, "offsets.h");
_Static_assert(offsetof(struct thread, special) == THREAD_SPECIAL_AT, "offsets.h");
_Static_assert(offsetof(struct thread, context.stack) == 0, "arch_user_hand_over()");
_Static_assert(SPECIAL_EXIT == SPECIAL_AT_EXIT, "offsets.h");
_Static_assert(SYS_BASE == GMK_SYS_BASE && SYS_MAX == GMK_SYSCALLS_MAX, "offsets.h");
_Static_assert((SYS_MAX & (SYS_MAX - 1)) == 0, "the entry code masks");
_Static_assert(SYS_NONE == GMK_ENOSYS, "offsets.h");
_Static_assert(GMK_EFAULT == -29, "copy.S");
_Static_assert(sizeof(struct arch_user_frame) == USER_FRAME_SIZE, "offsets.h");
_Static_assert(offsetof(struct arch_user_frame, rax) == USER_FRAME_RAX, "offsets.h");
_Static_assert(offsetof(struct arch_user_frame, rdi) == USER_FRAME_RDI, "offsets.h");
_Static_assert(offsetof(struct arch_user_frame, rip) == USER_FRAME_RIP, "offsets.h");
_Static_assert(offsetof(struct arch_user_frame, rflags) == USER_FRAME_RFLAGS, "offsets.h");
_Static_assert(offsetof(struct arch_user_frame, rsp) == USER_FRAME_RSP, "offsets.h");
_Static_assert((SELECTOR_USER_CODE | RPL) == 0x23 && (SELECTOR_USER_DATA | RPL) == 0x1b,
               "syscall.S");

extern const char user_syscall[], user_resume[], user_resume_full[]; /* syscall.S */
_Noreturn void user_leave(struct arch_user_frame *frame);
void user_special_call(void);
void user_special_full(struct arch_frame *frame);

/* What arch_context_switch() pops: its lower end is the context. */
struct resume {
    uint64_t r15, r14, r13, r12, rbx, rbp;
    uint64_t address;
};
_Static_assert(sizeof(struct resume) <= FULL_FRAME_ROOM, "trap_entry.S, syscall.S");

struct arch_frame *arch_user_full_frame(const struct thread *t) {
    return (struct arch_frame *)(t->stack_top - sizeof(struct arch_frame));
}

/* ---- Each CPU ---------------------------------------------------------------------------------- */

static void judge_meltdown(void) {
    uint64_t capabilities = cpu_features.arch_capabilities ? msr_read(MSR_CAPABILITIES) : 0;
#ifdef GMK_PROFILE_HARDENED
    const bool hardened = true;
#else
    const bool hardened = false;
#endif
    if (hardened && user_sees_kernel(&cpu_features, capabilities))
        klog_warn("cpu", "Meltdown: user code can read the kernel's memory on this CPU, and page "
                         "tables of its own, which would prevent it, are not in this kernel");
}

void arch_user_init(void) {
    struct cpu *cpu = cpu_this();
    /* SYSRET takes SS from bits 48.. + 8 and CS from bits 48.. + 16 (Intel SDM 3A 5.8.8); AMD's wants
     * the privilege level in them. */
    msr_write(MSR_STAR,
              (uint64_t)(SELECTOR_KERNEL_DATA | RPL) << 48 | (uint64_t)SELECTOR_KERNEL_CODE << 32);
    msr_write(MSR_LSTAR, (uint64_t)user_syscall);
    msr_write(MSR_FMASK, FMASK);
    msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_SCE);
    msr_write(MSR_FS_BASE, 0);
    cpu->arch->tls = 0;
    cr0_write(cr0_read() | CR0_TS);
    cpu->fpu_on = false;
    cpu->fpu_owner = NULL;
    if (cpu->index == 0)
        judge_meltdown();
}

/* ---- The way back ---------------------------------------------------------------------------- */

static bool has_special(const struct thread *t) {
    return (atomic_load_explicit(&t->special, memory_order_relaxed) & SPECIAL_EXIT) != 0;
}

/* From syscall.S: a system call is over, its results are in the frame. Each turn ends what was asked
 * for until then; what comes later comes with an interrupt. */
void user_special_call(void) {
    struct thread *t = cpu_this()->current;
    while (has_special(t)) {
        arch_user_boundary(t);
        thread_user_special(t);
    }
}

/* From trap_entry.S: likewise, of a full frame. */
void user_special_full(struct arch_frame *frame) {
    struct thread *t = cpu_this()->current;
    while (has_special(t)) {
        arch_user_boundary_full(t, frame);
        thread_user_special(t);
    }
}

#ifdef GMK_PROFILE_DEV
/* On the stack of `to`, below its frame. */
void user_hand_over_checked(struct thread *to, struct spinlock *a, struct spinlock *b) {
    K_ASSERT(to == cpu_this()->current, "the CPU goes to its current thread");
    K_ASSERT(!arch_user_is_full(to), "a direct switch goes to a system call's frame");
    K_ASSERT(cpu_this()->stack_top == to->stack_top, "arch_user_switch() came before");
    if (b != NULL)
        spin_leave(b);
    spin_leave(a);
    user_leave(arch_user_frame(to));
}
#endif

/* ---- Frames ---------------------------------------------------------------------------------- */

void arch_user_start(struct thread *t, uint64_t entry, uint64_t stack, uint64_t arg, uint64_t msg,
                     uint64_t id) {
    K_ASSERT(entry < GMK_USER_MAX, "an entry is checked when the thread is made");
    *arch_user_frame(t) = (struct arch_user_frame){
        .resume = (uint64_t)user_resume,
        .rdi = arg,
        .rsi = msg,
        .rdx = id,
        .rip = entry,
        .rflags = FLAGS_FIXED,
        .rsp = stack,
    };
    arch_user_boundary(t);
}

void arch_user_boundary_full(struct thread *t, struct arch_frame *frame) {
    K_ASSERT(frame == arch_user_full_frame(t),
             "a full frame of user mode ends where the stack does");
    struct resume *resume = (struct resume *)(void *)frame - 1;
    *resume = (struct resume){.address = (uint64_t)user_resume_full};
    t->context.stack = (uintptr_t)resume;
}

bool arch_frame_is_user(const struct arch_frame *frame) {
    return (frame->cs & RPL) != 0;
}

bool arch_frame_is_foreign(const struct arch_frame *frame) {
    return frame->vector == VECTOR_FOREIGN;
}

void arch_frame_result(struct arch_frame *frame, uint64_t rax) {
    frame->rax = rax;
}

void arch_frame_regs_get(const struct arch_frame *f, gmk_regs_t *regs) {
    *regs = (gmk_regs_t){
        .rax = f->rax,
        .rbx = f->rbx,
        .rcx = f->rcx,
        .rdx = f->rdx,
        .rsi = f->rsi,
        .rdi = f->rdi,
        .rbp = f->rbp,
        .rsp = f->rsp,
        .r8 = f->r8,
        .r9 = f->r9,
        .r10 = f->r10,
        .r11 = f->r11,
        .r12 = f->r12,
        .r13 = f->r13,
        .r14 = f->r14,
        .r15 = f->r15,
        .rip = f->rip,
        .rflags = user_flags(f->rflags),
    };
}

int arch_frame_regs_set(struct arch_frame *f, const gmk_regs_t *regs) {
    if (regs->rip >= GMK_USER_MAX)
        return GMK_EINVAL; /* iretq or the fetch behind it would fault in the kernel */
    *f = (struct arch_frame){
        .rax = regs->rax,
        .rbx = regs->rbx,
        .rcx = regs->rcx,
        .rdx = regs->rdx,
        .rsi = regs->rsi,
        .rdi = regs->rdi,
        .rbp = regs->rbp,
        .rsp = regs->rsp,
        .r8 = regs->r8,
        .r9 = regs->r9,
        .r10 = regs->r10,
        .r11 = regs->r11,
        .r12 = regs->r12,
        .r13 = regs->r13,
        .r14 = regs->r14,
        .r15 = regs->r15,
        .rip = regs->rip,
        .rflags = user_flags(regs->rflags),
        .cs = SELECTOR_USER_CODE | RPL,
        .ss = SELECTOR_USER_DATA | RPL,
        .vector = f->vector,
    };
    return GMK_OK;
}

/* Results are there only when the call is over: until then their places hold what was on the stack. */
static void call_regs_get(const struct thread *t, gmk_regs_t *regs) {
    const struct arch_user_frame *f = arch_user_frame(t);
    *regs = (gmk_regs_t){
        .rbx = f->rbx,
        .rbp = f->rbp,
        .rsp = f->rsp,
        .r12 = f->r12,
        .r13 = f->r13,
        .r14 = f->r14,
        .r15 = f->r15,
        .rip = f->rip,
        .rflags = user_flags(f->rflags),
    };
    if (t->block.kind != BLOCK_NONE)
        return;
    regs->rax = f->rax;
    regs->rdi = f->rdi;
    regs->rsi = f->rsi;
    regs->rdx = f->rdx;
    regs->r10 = f->r10;
    regs->r8 = f->r8;
    regs->r9 = f->r9;
}

void arch_regs_get(const struct thread *t, gmk_regs_t *regs) {
    if (arch_user_is_full(t))
        arch_frame_regs_get(arch_user_full_frame(t), regs);
    else
        call_regs_get(t, regs);
    regs->fs_base = t->tls;
}

int arch_regs_set(struct thread *t, const gmk_regs_t *regs) {
    if (regs->fs_base >= GMK_USER_MAX)
        return GMK_EINVAL;
    struct arch_frame *frame = arch_user_full_frame(t);
    bool full = arch_user_is_full(t);
    int status = arch_frame_regs_set(frame, regs);
    if (status != GMK_OK)
        return status;
    t->tls = regs->fs_base;
    if (!full) {
        frame->vector = 0;
        arch_user_boundary_full(t, frame);
    }
    return GMK_OK;
}

/* ---- Copies ------------------------------------------------------------------------------------ */

int copy_bytes(void *to, const void *from, size_t size); /* copy.S */
int copy_word32(uint32_t *to, const uint32_t *from);
extern const uint64_t copy_fixups[][2];

int arch_copy_in(void *to, uint64_t user, size_t size) {
    return user_range(user, size) ? copy_bytes(to, (const void *)user, size) : GMK_EFAULT;
}

int arch_copy_out(uint64_t user, const void *from, size_t size) {
    return user_range(user, size) ? copy_bytes((void *)user, from, size) : GMK_EFAULT;
}

int arch_load_user32(uint64_t user, uint32_t *value) {
    return user_range(user, sizeof *value) ? copy_word32(value, (const uint32_t *)user)
                                           : GMK_EFAULT;
}

static uint64_t fixup_of(const struct arch_frame *frame) {
    for (unsigned i = 0; copy_fixups[i][0] != 0; i++) /* three */
        if (copy_fixups[i][0] == frame->rip)
            return copy_fixups[i][1];
    return 0;
}

bool arch_copy_active(const struct arch_frame *frame) {
    return fixup_of(frame) != 0;
}

bool arch_copy_fixup(struct arch_frame *frame) {
    uint64_t go_on = fixup_of(frame);
    if (go_on != 0)
        frame->rip = go_on;
    return go_on != 0;
}
