/* Features, the pure half: from CPUID to what the kernel will turn on. Tested on the host. */
#include "arch/x86_64/features.h"

#include <string.h>

#include "lib/format.h"

#define XCR0_X87_SSE 0x3u
#define XCR0_AVX     0x4u
#define XCR0_AVX512  0xe0u /* three parts, together or not at all; they need AVX */

/* A leaf above the CPU's highest answers with another leaf's data (Intel) or zeros (AMD). */
static bool leaf_exists(uint32_t leaf, cpuid_fn id) {
    uint32_t out[4];
    id(leaf & 0x80000000u, 0, out);
    return leaf <= out[0];
}

static bool has(uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit, cpuid_fn id) {
    uint32_t out[4];
    if (!leaf_exists(leaf, id))
        return false;
    id(leaf, subleaf, out);
    return (out[reg] >> bit & 1u) != 0;
}

/* Intel SDM 2A, CPUID leaf 1: the extended fields count only for family 6 and 15. */
static void decode_model(struct cpu_features *f, uint32_t eax) {
    f->stepping = eax & 15u;
    f->model = eax >> 4 & 15u;
    f->family = eax >> 8 & 15u;
    if (f->family == 6 || f->family == 15)
        f->model += eax >> 12 & 0xf0u;
    if (f->family == 15)
        f->family += eax >> 20 & 0xffu;
}

static uint64_t decode_xcr0(cpuid_fn id) {
    uint32_t out[4];
    id(0xd, 0, out);
    uint64_t can = (uint64_t)out[3] << 32 | out[0];
    uint64_t use = XCR0_X87_SSE | (can & XCR0_AVX);
    if ((can & XCR0_AVX) != 0 && (can & XCR0_AVX512) == XCR0_AVX512)
        use |= XCR0_AVX512;
    return use;
}

void features_decode(struct cpu_features *f, cpuid_fn id) {
    uint32_t out[4];
    memset(f, 0, sizeof *f);
    id(0, 0, out);
    memcpy(f->vendor, &out[1], 4);
    memcpy(f->vendor + 4, &out[3], 4);
    memcpy(f->vendor + 8, &out[2], 4);
    id(1, 0, out);
    decode_model(f, out[0]);
#define FEATURE_READ(name, leaf, subleaf, reg, bit) f->name = has(leaf, subleaf, reg, bit, id);
    FEATURE_LIST(FEATURE_READ)
#undef FEATURE_READ
    /* Leaf 0xd describes nothing without XSAVE. */
    f->xsaveopt = f->xsaveopt && f->xsave;
    f->xcr0 = f->xsave && leaf_exists(0xd, id) ? decode_xcr0(id) : 0;
}

const char *features_missing(const struct cpu_features *f) {
    if (!f->nx)
        return "NX (no-execute pages)";
    if (!f->tsc)
        return "TSC (time-stamp counter)";
    if (!f->apic)
        return "APIC (local interrupt controller)";
    if (!f->fxsr || !f->sse2)
        return "SSE2";
    return NULL;
}

/* Bits: Intel SDM 3A 2.5. FSGSBASE stays off: user code could then change the bases that the kernel
 * compares to spare itself writing them. */
uint64_t features_cr4(const struct cpu_features *f) {
    uint64_t cr4 = 1u << 5 | 1u << 9 | 1u << 10; /* PAE, OSFXSR, OSXMMEXCPT */
    cr4 |= (uint64_t)f->mce << 6;
    cr4 |= (uint64_t)f->pge << 7;
    cr4 |= (uint64_t)f->umip << 11;
    cr4 |= (uint64_t)f->pcid << 17;
    cr4 |= (uint64_t)(f->xcr0 != 0) << 18;
    cr4 |= (uint64_t)f->smep << 20;
    cr4 |= (uint64_t)f->smap << 21;
    return cr4;
}

size_t features_text(const struct cpu_features *f, char *out, size_t size) {
    size_t length =
        format_string(out, size, "%s %u.%u.%u:", f->vendor, f->family, f->model, f->stepping);
#define FEATURE_PRINT(name, leaf, subleaf, reg, bit) \
    if (f->name && length < size)                    \
        length += format_string(out + length, size - length, " " #name);
    FEATURE_LIST(FEATURE_PRINT)
#undef FEATURE_PRINT
    return length < size ? length : size - 1;
}
