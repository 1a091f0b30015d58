/* FPU: saving by the best instruction the CPU has: XSAVEOPT, XSAVE, FXSAVE (Intel SDM 1 13). */
#include "arch/x86_64/fpu.h"

#include <stdint.h>
#include <string.h>

#include "arch/x86_64/features.h"
#include "arch/x86_64/io.h"

#define FXSAVE_SIZE   512u
#define CONTROL_WORD  0x037fu /* x87: all exceptions masked, extended precision */
#define MXCSR_DEFAULT 0x1f80u /* SSE: all exceptions masked */
#define MXCSR_AT      24u

size_t fpu_size(void) {
    if (cpu_features.xcr0 == 0)
        return FXSAVE_SIZE;
    uint32_t out[4];
    cpuid(0xd, 0, out);
    return out[1]; /* for what XCR0 has on now */
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
