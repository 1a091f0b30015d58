/* Features: what a CPU can do, decoded from CPUID once. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, leaf, subleaf, register (0 eax .. 3 edx), bit): Intel SDM 2A, CPUID. */
#define FEATURE_LIST(X)               \
    X(tsc, 1, 0, 3, 4)                \
    X(msr, 1, 0, 3, 5)                \
    X(mce, 1, 0, 3, 7)                \
    X(apic, 1, 0, 3, 9)               \
    X(pge, 1, 0, 3, 13)               \
    X(pat, 1, 0, 3, 16)               \
    X(fxsr, 1, 0, 3, 24)              \
    X(sse2, 1, 0, 3, 26)              \
    X(pcid, 1, 0, 2, 17)              \
    X(x2apic, 1, 0, 2, 21)            \
    X(tsc_deadline, 1, 0, 2, 24)      \
    X(xsave, 1, 0, 2, 26)             \
    X(avx, 1, 0, 2, 28)               \
    X(rdrand, 1, 0, 2, 30)            \
    X(hypervisor, 1, 0, 2, 31)        \
    X(fsgsbase, 7, 0, 1, 0)           \
    X(smep, 7, 0, 1, 7)               \
    X(invpcid, 7, 0, 1, 10)           \
    X(smap, 7, 0, 1, 20)              \
    X(umip, 7, 0, 2, 2)               \
    X(arch_capabilities, 7, 0, 3, 29) \
    X(xsaveopt, 0xd, 1, 0, 0)         \
    X(syscall, 0x80000001, 0, 3, 11)  \
    X(nx, 0x80000001, 0, 3, 20)       \
    X(page_1g, 0x80000001, 0, 3, 26)  \
    X(tsc_constant, 0x80000007, 0, 3, 8)

struct cpu_features {
#define FEATURE_FIELD(name, leaf, subleaf, reg, bit) bool name;
    FEATURE_LIST(FEATURE_FIELD)
#undef FEATURE_FIELD
    char vendor[13];
    uint32_t family, model, stepping;
    uint64_t xcr0; /* parts of the register state that XSAVE can keep and this kernel turns on */
};

typedef void (*cpuid_fn)(uint32_t leaf, uint32_t subleaf, uint32_t out[4]);

/* Pure: everything comes from `id`. */
void features_decode(struct cpu_features *features, cpuid_fn id);

/* The name of the first feature that the kernel cannot do without and that is missing, or NULL. */
const char *features_missing(const struct cpu_features *features);

/* CR4 with which the kernel runs. */
uint64_t features_cr4(const struct cpu_features *features);

/* "vendor family.model.stepping: nx smep .." */
size_t features_text(const struct cpu_features *features, char *out, size_t size);

extern struct cpu_features cpu_features; /* of the boot CPU; constant after arch_features_init() */
