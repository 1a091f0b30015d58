/* Features: turns on what protects the kernel and what threads will use, on every CPU.
 *
 * PCID: the kernel's own tables are number 0, and loading CR3 without its bit 63 flushes that
 * number, so that turning it on changes nothing for them. */
#include "arch/x86_64/features.h"

#include "arch/arch.h"
#include "arch/x86_64/fpu.h"
#include "arch/x86_64/io.h"
#include "kernel/core/cpu.h"
#include "kernel/core/panic.h"

#define MSR_EFER 0xc0000080u
#define EFER_NXE 0x800u
#define CR0_USE  0x80010033u /* PG, WP, NE, ET, MP, PE; EM and TS off */

struct cpu_features cpu_features;
bool smap_in_use; /* trap_entry.S */

static void read_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
    cpuid(leaf, subleaf, out);
}

static void xcr0_write(uint64_t value) {
    __asm__ volatile("xsetbv" ::"c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

void arch_features_init(void) {
    struct cpu_features mine;
    features_decode(&mine, read_cpuid);
    const char *missing = features_missing(&mine);
    if (missing != NULL)
        panic("this CPU has no %s", missing);
    if (cpu_this()->index == 0)
        cpu_features = mine;
    msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_NXE);
    cr0_write(CR0_USE);
    cr3_write(cr3_read() & ~0xfffull); /* PCID 0, or setting CR4.PCIDE faults */
    cr4_write(features_cr4(&mine));
    if (mine.xcr0 != 0)
        xcr0_write(mine.xcr0);
    smap_in_use = mine.smap;
    fpu_init();
    arch_user_init();
}

size_t arch_features_text(char *out, size_t size) {
    return features_text(&cpu_features, out, size);
}
