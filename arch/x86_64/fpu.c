/* FPU: saving by the best instruction the CPU has: XSAVEOPT, XSAVE, FXSAVE (Intel SDM 1 13), and when.
 *
 * A thread's registers are saved whenever it leaves a CPU, so that it can go on at another. They stay in the
 * CPU besides (cpu->fpu_owner) until somebody else's come: who finds its own there loads none. A block
 * remembers the CPU that saved it last, since a thread may have computed elsewhere in between.
 *
 * A thread without vector registers runs with CR0.TS set, so touching one is a fault. TS is written only
 * on a change from users to others; threads of the kernel touch none and run with either. */
#include "arch/x86_64/fpu.h"

#include <stdint.h>
#include <string.h>

#include "arch/arch.h"
#include "arch/x86_64/arch_user.h"
#include "arch/x86_64/features.h"
#include "arch/x86_64/io.h"
#include "kernel/core/panic.h"

#define FXSAVE_SIZE   512u
#define CONTROL_WORD  0x037fu /* x87: all exceptions masked, extended precision */
#define MXCSR_DEFAULT 0x1f80u /* SSE: all exceptions masked */
#define MXCSR_AT      24u

#define XSAVE_HEADER 64u /* Intel SDM 1 13.4.2 */
#define CR0_TS       8u

/* What thread->fpu points at. */
struct fpu_block {
    uint32_t saved_by; /* index of the CPU that saved it last, plus 1; 0: none */
    _Alignas(FPU_ALIGN) char registers[];
};

static size_t block_size = FXSAVE_SIZE;

void fpu_init(void) {
    uint32_t out[4];
    if (cpu_features.xcr0 == 0)
        return;
    cpuid(0xd, 0, out);
    block_size = out[1]; /* for what XCR0 has on now: the same on every CPU */
}

size_t fpu_size(void) {
    return block_size;
}

void fpu_reset(void *block) {
    const uint16_t control = CONTROL_WORD;
    const uint32_t mxcsr = MXCSR_DEFAULT;
    memset(block, 0, fpu_size());
    memcpy(block, &control, sizeof control);
    memcpy((char *)block + MXCSR_AT, &mxcsr, sizeof mxcsr);
}

void fpu_save(void *block) {
    if (cpu_features.xsaveopt)
        __asm__ volatile("xsaveopt64 (%0)" ::"r"(block), "a"(-1), "d"(-1) : "memory");
    else if (cpu_features.xcr0 != 0)
        __asm__ volatile("xsave64 (%0)" ::"r"(block), "a"(-1), "d"(-1) : "memory");
    else
        __asm__ volatile("fxsave64 (%0)" ::"r"(block) : "memory");
}

void fpu_load(const void *block) {
    if (cpu_features.xcr0 != 0)
        __asm__ volatile("xrstor64 (%0)" ::"r"(block), "a"(-1), "d"(-1) : "memory");
    else
        __asm__ volatile("fxrstor64 (%0)" ::"r"(block) : "memory");
}

size_t arch_fpu_size(void) {
    return sizeof(struct fpu_block) + fpu_size();
}

void arch_fpu_reset(void *block) {
    struct fpu_block *b = block;
    b->saved_by = 0;
    fpu_reset(b->registers);
}

void arch_fpu_forget(struct thread *thread) {
    if (thread->fpu != NULL)
        ((struct fpu_block *)thread->fpu)->saved_by = 0;
}

static void load(struct cpu *cpu, struct thread *thread) {
    const struct fpu_block *block = thread->fpu;
    if (!cpu->fpu_on)
        __asm__ volatile("clts");
    cpu->fpu_on = true;
    if (cpu->fpu_owner == thread && block->saved_by == cpu->index + 1)
        return;
    fpu_load(block->registers);
    cpu->fpu_owner = thread;
}

/* HARDENED: what a thread may not touch it shall not guess either. With TS set some CPUs compute with another
 * thread's registers in advance (CVE-2018-3665). An area of zeros says: all in their first state. */
static void hide(struct cpu *cpu) {
#ifdef GMK_PROFILE_HARDENED
    static const _Alignas(FPU_ALIGN) char first_state[FXSAVE_SIZE + XSAVE_HEADER];
    fpu_load(first_state);
    cpu->fpu_owner = NULL;
#else
    (void)cpu;
#endif
}

/* Out of line of arch_user_switch(): one of the two uses vector registers, or TS is clear. */
void arch_fpu_switch(struct cpu *cpu, struct thread *from, struct thread *to) {
    struct fpu_block *block = from->fpu;
    if (block != NULL) {
        K_ASSERT(cpu->fpu_on && cpu->fpu_owner == from, "who may compute has its registers here");
        fpu_save(block->registers);
        block->saved_by = cpu->index + 1;
    }
    if (to->fpu != NULL) {
        load(cpu, to);
    } else if (to->space != NULL && cpu->fpu_on) {
        hide(cpu);
        cr0_write(cr0_read() | CR0_TS);
        cpu->fpu_on = false;
    }
}
